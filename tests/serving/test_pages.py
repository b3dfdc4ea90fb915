"""What the service tells of itself: Prometheus, OpenAPI, one page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from deepen.kinds.classes import Classes
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.serving import routes
from deepen.signature import Signature
from tests.serving.fakes import ask, only, service

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def parse(text: str) -> dict[str, float]:
    """Samples by name and labels; every one belongs to the family announced before it."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    family, kinds = "", {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in kinds, "a family stands twice"
            kinds[family] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            assert name == family or (
                kinds[family] == "histogram" and name.removeprefix(family) in {"_bucket", "_sum", "_count"}
            )
            key = f"{name}{{{match[2]}}}" if match[2] else name
            assert key not in found, key
            found[key] = float(match[3])
    return found


@pytest.fixture
def core():
    made = service(Array((2,)))
    yield made
    made.close()


def test_prometheus_counts_what_happened(core):
    for _ in range(3):
        assert ask(core, "/predict", b'{"items": [[1, 2], [3, 4]]}').status == 200
    ask(core, "/predict", b'{"items": ["x"]}')
    ask(core, "/predict", b"{")
    ask(core, "/nowhere")
    core.started += 86400  # the clock was set back since
    response = ask(core, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = parse(response.data.decode())
    own = 'model="m",version="1"'
    assert found[f"deepen_requests_total{{{own}}}"] == 3
    assert 0 <= found["deepen_uptime_seconds"] < 60
    assert found[f"deepen_items_total{{{own}}}"] == 6
    assert found[f'deepen_errors_total{{{own},code="item.invalid"}}'] == 1
    assert found[f'deepen_errors_total{{{own},code="request.json"}}'] == 1
    assert found['deepen_errors_total{model="",version="",code="request.path"}'] == 1
    assert (
        found[f'deepen_request_seconds_bucket{{{own},le="+Inf"}}']
        == found[f"deepen_request_seconds_count{{{own}}}"]
        == 3
    )
    assert found[f'deepen_batch_items_bucket{{{own},le="1"}}'] == 0
    assert found[f'deepen_batch_items_bucket{{{own},le="2"}}'] == found[f"deepen_batch_items_count{{{own}}}"] == 3
    assert found[f"deepen_batch_items_sum{{{own}}}"] == 6
    assert found[f"deepen_share{{{own}}}"] == 1
    assert found['deepen_ready{model="m"}'] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_cpu_seconds_total"] > 0
    buckets = [v for k, v in found.items() if k.startswith("deepen_request_seconds_bucket")]
    assert buckets == sorted(buckets)


def test_labels_are_escaped(core):
    core.errors['a"b\\c\nd'] = 1
    found = parse(ask(core, "/metrics").data.decode())
    assert found['deepen_errors_total{model="",version="",code="a\\"b\\\\c\\nd"}'] == 1


def test_openapi_describes_every_path():
    picture = service(Image(8, 8, 1), token="t")
    document = ask(picture, "/openapi.json", authorization="Bearer t").document
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {route.path for route in routes.ROUTES}
    names = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            given = {p["name"] for p in operation.get("parameters", ())}
            assert given == set(re.findall(r"\{(\w+)\}", path))
            for use in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', str(operation).replace("'", '"')):
                assert use in document["components"]["schemas"]
    assert len(set(names)) == len(names)
    taken = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert {*taken} == {"application/json", "multipart/form-data", "image/jpeg", "image/png", "image/webp"}
    assert taken["multipart/form-data"]["schema"]["required"] == ["file"]
    assert document["paths"]["/predict"]["post"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/health/live"]["get"]
    for path in ("/health/ready", "/v2/models/{model}/ready"):
        told = document["paths"][path]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
        assert told == {"$ref": "#/components/schemas/Ready"}
    picture.close()


def test_the_inference_request_that_openapi_shows_is_answered(core):
    infer = ask(core, "/openapi.json").document["paths"]["/v2/models/{model}/infer"]["post"]
    shown = infer["requestBody"]["content"]["application/json"]
    one = shown["schema"]["properties"]["inputs"]["items"]["oneOf"][0]["properties"]
    assert (one["name"], one["datatype"]) == ({"const": "array"}, {"const": "FP32"})
    assert [p["schema"]["enum"] for p in infer["parameters"]] == [["m"]]
    response = ask(core, "/v2/models/m/infer", json.dumps(shown["example"]).encode())
    assert (response.status, response.document["outputs"][0]["shape"]) == (200, [1, 2])


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_runs_nothing():
    core = service(Image(8, 8, 1))
    evil = "<script>alert(1)</script>"
    only(core).predictor.signature = Signature({"x": Image(8, 8, 1)}, {"y": Classes((evil, "b"))})
    core.models["m"].name = evil
    core.models = {evil: core.models["m"]}
    response = ask(core, "/docs")
    page = Page()
    page.feed(response.data.decode())
    assert evil in page.text
    assert "curl -F file=@picture.png" in page.text
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "link", "iframe", "form"})
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on") or a == "src"]
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} == {"openapi.json", "metrics"}
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    core.close()


def test_every_route_has_a_handler(core):
    for route in routes.ROUTES:
        assert hasattr(core.rest, f"on_{route.handler}")
        path = route.path.format(model="m", version="1") if "{" in route.path else route.path
        assert routes.find(path)[0] is route
        assert routes.find(f"{path}/")[0] is route
    for path in ("/x", "/models", "/models/a/b", "/v2/models/a/versions//infer", "/v2/models/a/infer/x", "/predict/x"):
        assert routes.find(path) is None


def test_paths_of_clients_do_not_fill_the_memory(core):
    for number in range(routes.MOST_KNOWN + 100):
        ask(core, f"/models/{number}")
    assert len(routes._known) <= routes.MOST_KNOWN
