"""The application: what it answers, and to whom not."""

from __future__ import annotations

import json
import socket

import pytest
from tests.desks import call, desk, photos, served
from tests.serving.test_http import BAD, answer

from deepen.web import labelling

NEXT = {"holder": "h", "annotator": "ann"}


@pytest.fixture
def app():
    found = desk(photos())
    yield labelling.App(found, "ann")
    found.dataset.close()


def told(answer) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["error"]


def test_the_way_of_an_answer(app):
    about = json.loads(call(app, "GET", "/api/about")[2])
    assert about == {
        "title": "photos",
        "target": "label",
        "widget": "choice",
        "names": ["cat", "dog", "hen"],
        "times": 1,
        "annotator": "ann",
    }
    item = json.loads(call(app, "POST", "/api/next", NEXT)[2])["item"]
    status, head, data = call(app, "GET", f"/api/file/{item['item']}")
    assert (status, head["content-type"], data[:4]) == (200, "image/png", b"\x89PNG")
    body = {**NEXT, "key": "k", "item": item["item"], "value": "cat"}
    first = json.loads(call(app, "POST", "/api/answer", body)[2])
    assert first["progress"]["done"] == 1
    assert json.loads(call(app, "POST", "/api/answer", body)[2]) == first  # sent again: counted once
    assert len(app.desk.dataset.history()) == 1
    assert json.loads(call(app, "POST", "/api/undo", {**NEXT, "key": "u"})[2])["item"]["before"] == "cat"
    assert json.loads(call(app, "POST", "/api/beat", {"holder": "h", "item": item["item"]})[2]) == {}
    assert json.loads(call(app, "POST", "/api/add", {"name": "fox"})[2])["names"][-1] == "fox"
    assert json.loads(call(app, "GET", "/api/agreement")[2])["alpha"] is None


@pytest.mark.parametrize("path", ["/", "/label.css", "/label.js", "/boxes.js"])
def test_the_page_needs_nothing_from_elsewhere(app, path):
    status, head, data = call(app, "GET", path, authorization=None)
    assert status == 200
    assert "default-src 'none'" in head["content-security-policy"]
    assert "unsafe" not in head["content-security-policy"]
    assert (head["x-frame-options"], head["x-content-type-options"], head["cache-control"]) == (
        "DENY",
        "nosniff",
        "no-store",
    )
    assert b"://" not in data
    assert b"innerHTML" not in data
    assert call(app, "HEAD", path)[0] == 200


API = [("GET", "/api/about"), ("GET", "/api/agreement"), ("GET", "/api/file/0-0"), ("POST", "/api/next"), ("POST", "/api/answer"),
       ("POST", "/api/undo"), ("POST", "/api/leave"), ("POST", "/api/beat"), ("POST", "/api/add")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), API)
def test_nothing_is_done_for_another(app, method, path):
    body = {**NEXT, "key": "k", "item": "0-0", "value": "cat", "name": "fox"}
    for headers, status, text in [
        ({"authorization": None}, 401, "open the address that deepen label printed"),
        ({"authorization": "Bearer wrong"}, 401, "open the address"),
        ({"authorization": "Bearer \u00e9"}, 401, "open the address"),
        ({"origin": "http://evil.example"}, 403, "pages of other sites are not answered"),
        ({"origin": "null"}, 403, "pages of other sites"),
        ({"origin": "https://127.0.0.1:8010"}, 403, "pages of other sites"),
        ({"host": "evil.example"}, 403, "not reached under this machine's own name"),
        ({"host": "127.0.0.1.evil.example:8010"}, 403, "not reached under"),
        ({"host": None}, 403, "not reached under"),
    ]:
        assert told(call(app, method, path, body, **headers))[0] == status, headers
        assert text in told(call(app, method, path, body, **headers))[1]
    if method == "POST":
        assert told(call(app, "GET", path)) == (405, "POST only")
        assert told(call(app, method, path, body, content_type="text/plain"))[0] == 415
        assert told(call(app, method, path, body, content_type="application/x-www-form-urlencoded"))[0] == 415
    assert app.desk.dataset.history() == []
    assert app.desk.names == ["cat", "dog", "hen"]


@pytest.mark.parametrize("host", ["localhost:8010", "127.0.0.1:8010", "[::1]:8010", "192.168.1.7:8010"])
def test_addresses_and_this_machines_name_are_answered(app, host):
    assert call(app, "GET", "/api/about", host=host, origin=f"http://{host}")[0] == 200
    assert call(labelling.App(app.desk, names=("box",)), "GET", "/", host="box:8010")[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"holder": "h"}', 400),
        (b'{"holder": "h", "annotator": 3}', 400),
        (b'{"holder": "h", "annotator": "a", "more": 1}', 400),
        (b'{"holder": "h", "annotator": "a", "self": 1}', 400),
        (b'{"holder": "h", "annotator": "a", "skipped": 1}', 400),
        (b'{"holder": "h", "annotator": ""}', 422),
        (b'{"holder": "h", "annotator": "' + b"a" * 101 + b'"}', 422),
        (b'{"holder": "' + b"h" * 501 + b'", "annotator": "a"}', 400),
        (b'{"holder": NaN, "annotator": "a"}', 400),
        (b"[" * 100_000, 400),
        (b"x" * (labelling.LARGEST_BODY + 1), 413),
        (b'{"holder": "\\ud800", "annotator": "ann"}', 400),
    ],
)
def test_bad_bodies(app, raw, status):
    assert told(call(app, "POST", "/api/next", raw=raw))[0] == status


def test_what_travels_badly_gets_one_sentence_of_the_page_too():
    with served(desk(photos())) as address:
        where = address.split("/")[2].split(":")
        token = address.partition("#")[2]
        more = f"authorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        ours = {
            "no such item": (f"GET /api/file/%00%ff HTTP/1.1\r\nhost: localhost\r\n{more}\r\n", 409),
            "half a chunk": (f"POST /api/next HTTP/1.1\r\nhost: localhost\r\n{more}transfer-encoding: chunked\r\n\r\n2x\r\n", 400),
            "compressed": (f"POST /api/next HTTP/1.1\r\nhost: localhost\r\n{more}content-length: 2\r\n\r\n\x1f\x8b", 400),
            "the page": ("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        }  # fmt: skip
        for name, (request, status) in {**BAD, **ours}.items():
            with socket.create_connection((where[0], int(where[1])), 20) as link:
                link.sendall(request if isinstance(request, bytes) else request.encode("latin-1"))
                found, _, body = answer(link)
            assert found == status if name in ours or status in {400, 431, 501, 505} else found < 500, name
            assert found < 400 or json.loads(body)["error"], name


def test_what_is_not_there(app):
    for path in ("/x", "/../etc/passwd", "/api/x", "/label.html", "/api/file/../../x"):
        assert told(call(app, "GET", path))[0] in {404, 409}
    item = json.loads(call(app, "POST", "/api/next", NEXT)[2])["item"]["item"]
    body = {**NEXT, "key": "k", "item": item}
    assert told(call(app, "POST", "/api/answer", {**body, "value": "cow"})) == (
        422,
        "class 'cow'. Expected one of cat, dog, hen.",
    )
    assert told(call(app, "POST", "/api/answer", {**body, "value": {"a": [1]}}))[0] == 422
    assert told(call(app, "POST", "/api/answer", {**body, "item": "0-0", "value": "cat"}))[0] == 409


def test_names_of_any_kind_stay_text(app):
    """Nothing of what people and files bring is put into the page by the server."""
    for name in ("<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "javascript:alert(1)", "{{7*7}}"):
        assert name in json.loads(call(app, "POST", "/api/add", {"name": name})[2])["names"]
    assert all(b"alert" not in call(app, "GET", path)[2] for path in ("/", "/label.js", "/boxes.js"))
