"""The core, without a network: every bad request is one clear sentence, and none spoils another."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import io
import json
import logging
import sys
import threading
import zlib

import numpy as np
import pytest

from deepen.preprocess.array import Array
from deepen.preprocess.graph import Graph
from deepen.preprocess.image import Image, png
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.serving import bodies, core
from deepen.serving.core import Core
from deepen.serving.messages import Request
from tests.serving.fakes import JSON, Model, only, service

CSV = {"content-type": "text/csv"}
ROW = Row(numbers=("rooms",), categories={"town": ("Lyon", "Łódź")}, dates={"built": False})
PICTURE = png(np.arange(64, dtype=np.uint8).reshape(8, 8))


@pytest.fixture
def serve():
    made = []

    def make(*arguments, **named):
        made.append(service(*arguments, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask(service: Core, body, headers=JSON, method="POST", path="/predict"):
    """Status and document; any error has its text, code and id, and tells nothing of the machine."""
    body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
    response = asyncio.run(service.handle(Request(method, path, dict(headers), body)))
    document = json.loads(response.data)
    assert response.headers["x-request-id"]
    if response.status >= 400:
        assert set(document) >= {"error", "code", "id"}
        assert document["id"] == response.headers["x-request-id"]
        assert len(document["error"]) <= 500
        for told in ("Traceback", "/home", "/work", "/usr", ".py", "0x"):
            assert told not in document["error"]
    return response.status, document


ONE = {"items": [{"rooms": 3, "town": "Lyon", "built": "2020-01-01"}]}
DEEP = 100_000
BAD_ROWS = [
    (b"", 422, "the body is empty"),
    ("{", 400, "not JSON"),
    ("nonsense", 400, "not JSON"),
    ('{"items": [{"rooms": NaN}]}', 400, "NaN is not a JSON number"),
    ('{"items": [{"rooms": -Infinity}]}', 400, "-Infinity is not a JSON number"),
    ('{"items": [{"rooms": 1e999}]}', 400, "1e999 is out of range"),
    ('{"items": [{"rooms": -1E+400}]}', 400, "out of range"),
    ('{"items": [{"rooms": %s.5}]}' % ("9" * 400), 400, "out of range"),
    ('{"items": [{"rooms": %s}]}' % ("9" * 9000), 400, "not JSON"),
    ('{"items": [{"rooms": 1, "rooms": 2}]}', 400, "key 'rooms' stands twice"),
    ('{"items": [], "items": []}', 400, "key 'items' stands twice"),
    ("[" * DEEP, 400, "nested too deeply"),
    ('{"items": ' * DEEP, 400, "nested too deeply"),
    ('{"items": [%s]}' % ("[" * 900 + "]" * 900), 422, "an object of column"),
    (b'{"items": ["\xff"]}', 400, "not UTF-8"),
    (b"\xff\xfe{\x00}\x00", 400, "not UTF-8"),
    ("[]", 422, 'expected {"items"'),
    ("null", 422, 'expected {"items"'),
    ("3", 422, 'expected {"items"'),
    ({}, 422, 'expected {"items"'),
    ({"items": {}}, 422, 'expected {"items"'),
    ({"items": [], "more": 1}, 422, 'expected {"items"'),
    ({"items": []}, 422, "no items"),
    ({"items": [None]}, 422, "an object of column"),
    ({"items": [{}]}, 422, "no column has a value"),
    ({"items": [{"rooms": None}]}, 422, "no column has a value"),
    ({"items": [{"rooms": 1}, {"romms": 1}]}, 422, "item 1: unknown column 'romms'"),
    ({"items": [{"x" * 5000: 1}]}, 422, "unknown column 'xxx"),
    ({"items": [{"rooms": True}]}, 422, "column 'rooms' holds true"),
    ({"items": [{"rooms": [1]}]}, 422, "column 'rooms' holds a list"),
    ({"items": [{"town": {"a": 1}}]}, 422, "column 'town' holds an object"),
    ({"items": [{"rooms": "three"}]}, 422, "column 'rooms' holds 'three'"),
    ({"items": [{"rooms": "x" * 5000}]}, 422, "column 'rooms' holds"),
    ({"items": [{"built": "yesterday"}]}, 422, "a date such as"),
    ({"items": [{"built": 9e99}]}, 422, "a date such as"),
    ({"items": [{"rooms": 1}] * 40 + [{"rooms": "x"}]}, 422, "item 40: column 'rooms'"),
    ({"items": [{"rooms": 1}] * 1025}, 413, "1025 items, at most 1024"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "text"), BAD_ROWS, ids=map(str, range(len(BAD_ROWS))))
def test_bad_json(serve, body, status, text):
    found, document = ask(serve(ROW), body)
    assert found == status
    assert text in document["error"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("rooms,town\n", "expected a header line and rows"),
        ("rooms,town\n1,Lyon,7\n", "row 0: 3 cells where the header has 2"),
        ("rooms,rooms\n1,2\n", "a column stands twice"),
        ("rooms\nthree\n", "item 0: column 'rooms' holds 'three'"),
        ("rooms,romms\n1,2\n", "unknown column 'romms'"),
        ('rooms\n"1\n', "not CSV"),
        (b"rooms\n\xe9\n", "not UTF-8"),
        ("rooms\n1\x00\n", "not CSV"),
        ("rooms\n" + "1" * 200_000, "not CSV"),
        ("rooms\n" + "1\n" * 1025, "1025 items, at most 1024"),
    ],
)
def test_bad_csv(serve, body, text):
    status, document = ask(serve(ROW), body, CSV)
    assert status in {400, 413, 422}
    assert text in document["error"]


def test_rows_of_a_table_are_put_together_to_the_items_they_are_of(serve):
    one = serve(Series(("sales",), 2, (0.0,), (1.0,), group="shop"))
    rows = [("a", 1.0), ("b", 50.0), ("a", 2.0), ("b", 70.0)]
    items = [[{"shop": shop, "sales": sales} for shop, sales in rows if shop == name] for name in "ab"]
    table = "shop,sales\n" + "".join(f"{shop},{sales}\n" for shop, sales in rows)
    status, document = ask(one, {"items": items})
    assert (status, len(document["answers"])) == (200, 2)
    assert document["answers"][0] != document["answers"][1]
    assert ask(one, table, CSV) == (200, document)


def test_good_rows_in_every_form(serve):
    one = serve(ROW)
    status, document = ask(one, ONE)
    assert status == 200
    answer = document["answers"][0]
    assert set(answer["probabilities"]) == {"Łódź", "猫"}
    for body, headers in (
        ({"item": ONE["items"][0]}, JSON),
        (json.dumps(ONE), {}),
        (json.dumps(ONE), {"content-type": "application/x-www-form-urlencoded"}),
        ("\ufeffrooms,town,built\r\n3,Lyon,2020-01-01\r\n\r\n", CSV),
        form((FILE, b"\xef\xbb\xbfrooms,town,built\n3,Lyon,2020-01-01\n")),
        form((FILE, json.dumps(ONE).encode())),
        (gzip.compress(json.dumps(ONE).encode(), mtime=0), {**JSON, "content-encoding": "gzip"}),
        (zlib.compress(json.dumps(ONE).encode()), {**JSON, "content-encoding": "Deflate"}),
    ):
        assert ask(one, body, headers) == (200, {"answers": [answer], "run": "r", "version": "1"})
    status, document = ask(one, {"items": [{"rooms": i} for i in range(1024)]})
    assert (status, len(document["answers"])) == (200, 1024)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "text"),
    [
        (b"not gzip", "gzip", 400, "not gzip"),
        (gzip.compress(b"[]", mtime=0)[:-4], "gzip", 400, "cut off"),
        (gzip.compress(b"[]", mtime=0) + b"more", "gzip", 400, "goes on after its end"),
        (gzip.compress(bytes(40 << 20), mtime=0), "gzip", 413, "larger than 32 MiB"),
        (b"x", "br", 415, "content encoding 'br'"),
        (b"x", "gzip, gzip", 415, "content encoding 'gzip, gzip'"),
    ],
)
def test_bad_compression(serve, body, encoding, status, text):
    found, document = ask(serve(ROW), body, {**JSON, "content-encoding": encoding})
    assert found == status
    assert text in document["error"]


def form(*parts, boundary="B", end=True):
    body = b"".join(b"--B\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return body + (b"--B--\r\n" if end else b""), {"content-type": f"multipart/form-data; boundary={boundary}"}


FILE = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png'
FIELD = b'Content-Disposition: form-data; name="text"'


def test_pictures_in_every_form(serve):
    one = serve(Image(8, 8, 1))
    answer = ask(one, PICTURE, {"content-type": "image/png"})[1]["answers"][0]
    twice = form((FILE, PICTURE), (FILE, PICTURE))
    for body, headers, count in (
        (PICTURE, {}, 1),
        (PICTURE, {"content-type": "application/octet-stream"}, 1),
        (*form((FILE, PICTURE)), 1),
        (*form((FILE, PICTURE), boundary='"B"'), 1),
        (*twice, 2),
        ({"items": [base64.b64encode(PICTURE).decode()]}, JSON, 1),
        ({"items": [{"b64": base64.b64encode(PICTURE).decode()}]}, JSON, 1),
        ({"items": [np.arange(64).reshape(8, 8).tolist()] * 3}, JSON, 3),
    ):
        status, document = ask(one, body, headers)
        assert (status, document["answers"]) == (200, [answer] * count)


def animation() -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    frames = [Pillow.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    return out.getvalue()


def bomb() -> bytes:
    """A PNG header that claims 50,000 x 50,000 pixels."""
    import struct

    data = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(data)) + b"IHDR" + data + struct.pack(">I", zlib.crc32(b"IHDR" + data))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


BAD_PICTURES = [
    (b"not a picture", {"content-type": "image/png"}, 422, "not a picture (text)"),
    (b"GIF89a", {"content-type": "image/gif"}, 422, "not a picture (GIF)"),
    (PICTURE[: len(PICTURE) // 2], {}, 422, "item 0"),
    (bomb(), {}, 422, "pixels"),
    (animation(), {}, 422, "an animation of 2 frames"),
    (*form(end=True), 422, "no items"),
    (form((FILE, PICTURE))[0][:-7], form()[1], 400, "the body is cut off, or has another boundary"),
    (*form((FILE, PICTURE), end=False), 400, "cut off"),
    (form((FILE, PICTURE))[0], {"content-type": "multipart/form-data"}, 400, "the boundary is missing"),
    (*form((FILE, PICTURE), boundary="other"), 400, "another boundary"),
    (*form((FIELD, b"hello")), 422, "a field that is no file"),
    (*form((FILE, PICTURE), (FIELD, b"hello")), 422, "a field that is no file"),
    (*form((FILE, b"")), 422, "empty file"),
    (*form((FILE, PICTURE), (FILE, b"junk")), 422, "item 1: not a picture"),
    (b"--B\r\nnothing\r\n--B--\r\n", {"content-type": "multipart/form-data; boundary=B"}, 400, "a part without headers"),
    (PICTURE, {"content-type": "text/html"}, 415, "content type 'text/html'"),
    (PICTURE, CSV, 400, "not CSV"),
    ({"items": ["!"]}, JSON, 422, "base64"),
    ({"items": ["/etc/passwd"]}, JSON, 422, "base64"),
    ({"items": [7]}, JSON, 422, "a picture file in base64"),
    ({"items": [[[1, 2], [3]]]}, JSON, 422, "unequal length"),
    ({"items": [[[256]]]}, JSON, 422, "from 0 to 255"),
    ({"items": [[["1"]]]}, JSON, 422, "from 0 to 255"),
    ({"items": [[[10**400]]]}, JSON, 422, "from 0 to 255"),
    ({"items": [[]]}, JSON, 422, "from 0 to 255"),
    ({"items": ["[" * 90]}, JSON, 422, "base64"),
    ('{"items": [%s]}' % ("[" * 500 + "]" * 500), JSON, 422, ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "status", "text"), BAD_PICTURES, ids=map(str, range(len(BAD_PICTURES))))
def test_bad_pictures(serve, body, headers, status, text):
    found, document = ask(serve(Image(8, 8, 1)), body, headers)
    assert found == status
    assert text in document["error"]


@pytest.mark.parametrize(
    ("encoder", "item", "text"),
    [
        (Array((2,)), [1], "shape"),
        (Array((2,)), [1, "2"], "holds '2'"),
        (Array((2,)), [True, False], "holds 'True'"),
        (Array((2,)), [1, 10**400], "numbers of at most 3.4e38"),
        (Array((2,)), [[1, 2], [3]], "numbers or null"),
        (Array((2,)), "12", "nested lists"),
        (Text(("a",)), "", "no text"),
        (Text(("a",)), 3, "no text"),
        (Text(("a",)), ["a"], "no text"),
        (Graph(1), [], "not a graph"),
        (Graph(1), {"nodes": [], "edges": []}, "at least one node"),
        (Graph(1), {"nodes": [[1, 2]], "edges": []}, "nodes of shape (1, 2)"),
        (Graph(1), {"nodes": [["1"]], "edges": []}, "nodes of shape"),
        (Graph(1), {"nodes": [[None]], "edges": []}, "nodes of shape"),
        (Graph(1), {"nodes": [[1], [2, 3]], "edges": []}, "not a graph"),
        (Graph(1), {"nodes": [[1]], "edges": [[0, 1]]}, "an edge names node 1"),
        (Graph(1), {"nodes": [[1]], "edges": [[-1, 0]]}, "an edge names node -1"),
        (Graph(1), {"nodes": [[1]], "edges": [0, 0]}, "no pairs"),
        (Graph(1), {"nodes": [[1]], "edges": [[0, 0.5]]}, "no pairs"),
        (Graph(1), {"nodes": [[1]], "edges": [[0, 10**30]]}, "no pairs"),
        (Graph(1), {"nodes": [[10**400]], "edges": []}, "nodes of shape"),
    ],
)
def test_bad_items_of_other_kinds(serve, encoder, item, text):
    status, document = ask(serve(encoder), {"items": [item]})
    assert status == 422
    assert text in document["error"]


def test_a_picture_for_a_table_says_what_the_model_takes(serve):
    status, document = ask(serve(ROW), PICTURE, {"content-type": "image/png"})
    assert status == 415
    assert "this model takes rows of 1 number" in document["error"]


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/predict", "application/json", b"x" * 9000),
        ("/predict", "application/json", b'{"items": "%s"}' % (b"x" * 9000)),
        ("/predict", "application/json", b'{"items": [{"rooms": "%s"}]}' % (b"x" * 9000)),
        ("/predict", "application/json", b"[" * 99_000),
        ("/predict", "text/csv", b"rooms\n%s\n" % (b"x" * 9000)),
        ("/predict", "a/b", b"x" * 9000),
        ("/v2/models/m/infer", "", b"x" * 9000),
        ("/v2/models/n/infer", "", b"x" * 9000),
        ("/predict", "application/json", b'{"items": [{"rooms": 1%s}]}' % (b" " * 9000)),
    ],
)
def test_a_body_goes_with_its_answer(serve, path, kind, body):
    """A mistake that knew the place it was made in would keep the body until garbage is next looked for, which is seldom."""
    one = serve(ROW)
    asyncio.run(one.handle(Request("POST", path, {"content-type": kind}, body)))  # what it remembers for good
    body, before = bytes(bytearray(body)), gc.isenabled()
    held = sys.getrefcount(body)
    gc.disable()
    try:
        asyncio.run(one.handle(Request("POST", path, {"content-type": kind}, body)))
        one.readers.pool.shutdown()  # its threads have let go of it
        assert sys.getrefcount(body) == held
    finally:
        gc.enable() if before else None


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nowhere", 404, "no '/nowhere' here"),
        ("GET", "/predict/../../etc/passwd", 404, "/docs has the paths"),
        ("GET", "/" + "x" * 9000, 404, "/docs has the paths"),
        ("GET", "/predict", 405, "/predict takes POST"),
        ("HEAD", "/predict", 405, "/predict takes POST"),
        ("DELETE", "/", 405, "/ takes GET, HEAD"),
        ("POST", "/health/live", 405, "takes GET"),
        ("get", "/", 405, "takes GET"),
    ],
)
def test_unknown_paths_and_methods(serve, method, path, status, text):
    found, document = ask(serve(ROW), b"", method=method, path=path)
    assert found == status
    assert text in document["error"]


def test_health_needs_no_token_and_tells_the_truth(serve):
    one = serve(ROW, token="secret")
    assert ask(one, b"", {}, "GET", "/health/live") == (200, {"live": True})
    assert ask(one, b"", {}, "GET", "/health/ready") == (200, {"ready": True})
    one.leaving = True
    response = asyncio.run(one.handle(Request("GET", "/health/ready", {}, b"")))
    assert (response.status, response.document) == (503, {"ready": False})


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "secret", "Basic secret", "Bearer secret ", "Bearer é猫"]
)
def test_a_wrong_token(serve, given, caplog):
    one = serve(ROW, token="secret")
    for method, path in (("POST", "/predict"), ("GET", "/")):
        status, document = ask(one, ONE, {**JSON, "authorization": given}, method, path)
        assert (status, document["code"]) == (401, "request.token")
    assert ask(one, ONE, {**JSON, "authorization": "Bearer secret"})[0] == 200
    assert ask(one, ONE, {**JSON, "authorization": "Bearer secret", "host": "example.com"})[0] == 200
    assert "secret" not in caplog.text + str(document)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8000"}, 200),
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "[::1]"}, 200),
        ({"host": "evil.example:8000"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "null"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:9"}, 403),
    ],
)
def test_pages_of_other_sites_are_not_answered(serve, headers, status):
    assert ask(serve(ROW), ONE, {**JSON, **headers})[0] == status


# ---------------------------------------------------------------- what goes wrong inside


class Broken(Model):
    """Fails, or gives what is no number, for items with a mark."""

    def run(self, arrays):
        rows = arrays["array"][:, 0]
        if (rows == 666).any():
            raise RuntimeError("/home/secret/path.py failed")
        result = super().run(arrays)
        result["probabilities"][rows == 777] = np.nan
        return result


def test_a_bug_is_500_with_an_id_and_the_server_lives_on(serve, caplog):
    one = serve(Array((2,)), model=Broken(["array"]))
    with caplog.at_level(logging.ERROR):
        status, document = ask(one, {"items": [[666, 0]]})
    assert (status, document["code"]) == (500, "internal")
    assert document["id"] in caplog.text
    assert "RuntimeError: /home/secret/path.py failed" in caplog.text
    status, document = ask(one, {"items": [[777, 0]]})
    assert (status, document["code"]) == (500, "model.answer")
    assert "not a finite number" in document["error"]
    assert ask(one, {"items": [[1, 0]]})[0] == 200


def together(one, values):
    async def all_at_once():
        bodies = [json.dumps({"items": [v]}).encode() for v in values]
        return await asyncio.gather(*(one.handle(Request("POST", "/predict", JSON, body)) for body in bodies))

    return asyncio.run(all_at_once())


@pytest.mark.parametrize("small", [False, True])
def test_a_bad_item_never_spoils_its_neighbours(serve, small):
    one = serve(Array((2,)), model=Broken(["array"]), small=small)
    values = [[float(i), 1.0] for i in range(200)]
    for at, bad in ((5, [666, 0]), (60, [777, 0]), (61, "x"), (150, [666, 0])):
        values[at] = bad
    right = only(one).predictor
    for value, response in zip(values, together(one, values)):
        if value == "x":
            assert response.status == 422
        elif value[0] in {666, 777}:
            assert response.status == 500
        else:
            assert response.document["answers"] == right([value])


async def read_here(inline, deadline, read, *given):
    assert inline
    return read(*given)


def test_a_small_model_answers_light_requests_in_batches_of_a_turn(serve, monkeypatch):
    one = serve(Array((2,)), small=True)
    monkeypatch.setattr(one, "read", read_here)  # no other thread takes part
    runs = []
    run = only(one).predictor.run
    monkeypatch.setattr(only(one).predictor, "run", lambda arrays: runs.append(len(arrays["array"])) or run(arrays))
    values = [[float(i), 1.0] for i in range(70)]
    responses = together(one, values)
    assert [r.document["answers"][0] for r in responses] == only(one).predictor(values)
    assert runs[:3] == [32, 32, 6]
    monkeypatch.undo()


def test_what_may_be_slow_to_read_goes_to_a_thread():
    picture, row = (service(encoder) for encoder in (Image(8, 8, 1), ROW))
    assert bodies.light(only(picture).predictor, {}, PICTURE)
    assert not bodies.light(only(picture).predictor, {}, bomb())
    assert not bodies.light(only(picture).predictor, JSON, json.dumps({"items": [1]}).encode())  # may hold a picture
    assert bodies.light(only(row).predictor, JSON, json.dumps(ONE).encode())
    assert not bodies.light(only(row).predictor, {"content-encoding": "gzip"}, b"x")
    assert not bodies.light(only(row).predictor, JSON, bytes(20_000))
    picture.close()
    row.close()


def test_too_many_requests_wait(serve, monkeypatch):
    monkeypatch.setattr(core, "MOST_REQUESTS", 3)
    one = serve(Array((2,)))
    responses = together(one, [[0.0, 1.0]] * 10)
    assert sorted(r.status for r in responses) == [200] * 3 + [429] * 7
    refused = next(r for r in responses if r.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert one.accepted == 0
    assert ask(one, {"items": [[1, 2]]})[0] == 200


class Slow:
    """From now on encoding the items of a service halts until it is let go."""

    def __init__(self, one):
        self.hold, self.encoded = threading.Event(), []
        predictor = only(one).predictor
        self.encode, predictor.encode = predictor.encode, self

    def __call__(self, items):
        self.encoded += items
        assert self.hold.wait(20)
        return self.encode(items)


async def reading(one, count):
    """Wait until all threads that read do, and so many bodies wait for one."""
    async with asyncio.timeout(20):
        while one.readers.free or len(one.readers.waiting) != count:
            await asyncio.sleep(0.001)


def asking(one, value, **headers):
    body = json.dumps({"items": [[value, 1.0]]}).encode()
    return asyncio.create_task(one.handle(Request("POST", "/predict", {**JSON, **headers}, body)))


def test_what_waits_to_be_read_is_late_at_its_deadline_and_never_decoded(serve):
    one = serve(Array((2,)), timeout=30)
    one.readers.most = 2
    slow = Slow(one)

    async def story():
        busy = [asking(one, float(number)) for number in range(one.readers.threads)]
        await reading(one, 0)
        late = asking(one, 7.0, timeout="0.5")
        patient = asking(one, 8.0)
        await reading(one, 2)
        full = await asking(one, 9.0)
        assert (full.status, full.document["code"], full.headers["retry-after"]) == (429, "request.overload", "1")
        assert (await late).status == 504  # nothing was let go yet
        slow.hold.set()
        assert {(await task).status for task in [*busy, patient]} == {200}
        one.readers.free -= 1  # a thread is free, its request is late: as where both happen in one moment
        one.readers._next()
        assert (await asking(one, 6.0, timeout="1e-9")).status == 504

    asyncio.run(story())
    assert sorted(item[0] for item in slow.encoded) == [*map(float, range(one.readers.threads)), 8.0]
    assert one.readers.free == one.readers.threads
    assert only(one).tally.errors == {"request.deadline": 2, "request.overload": 1}


def test_a_body_that_is_late_while_it_is_read_is_told_so_and_no_fault_of_the_version(serve):
    one = serve(Array((2,)), timeout=0.5)  # long enough for the thread to begin
    slow = Slow(one)

    async def story():
        assert (await asking(one, 1.0)).status == 504
        assert one.readers.free == one.readers.threads - 1  # its thread goes on
        slow.hold.set()
        async with asyncio.timeout(20):
            while one.readers.free < one.readers.threads:
                await asyncio.sleep(0.001)

    asyncio.run(story())
    assert only(one).tally.errors == {"request.deadline": 1}


@pytest.mark.parametrize(("seconds", "status"), [(20.0, 429), (8.0, 429), (6.0, 200)])
def test_what_would_wait_longer_than_it_has_is_refused_at_once(serve, seconds, status):
    one = serve(Array((2,)), timeout=30)
    slow = Slow(one)
    one.readers.threads = one.readers.free = 2

    async def story():
        one.readers.seconds = seconds  # as reading went lately; the second to wait needs twice that, of 15
        busy = [asking(one, 0.0) for _ in range(one.readers.threads)]
        await reading(one, 0)
        first = asking(one, 1.0)  # whatever it takes: only so is it known how long reading takes now
        await reading(one, 1)
        second = asking(one, 2.0)
        await asyncio.sleep(0)
        assert second.done() == (status == 429)
        slow.hold.set()
        assert {(await task).status for task in [*busy, first]} == {200}
        assert (await second).status == status
        assert one.readers.seconds < seconds

    asyncio.run(story())


def test_who_goes_away_while_waiting_to_be_read_leaves_no_gap(serve):
    one = serve(Array((2,)))
    slow = Slow(one)

    async def story():
        busy = [asking(one, 0.0) for _ in range(one.readers.threads)]
        await reading(one, 0)
        gone, kept = asking(one, 1.0), asking(one, 2.0)
        await reading(one, 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert len(one.readers.waiting) == 1
        also = asking(one, 3.0)
        await reading(one, 2)
        turn = one.readers.waiting[0]
        one.readers._next()  # the turn of `kept` comes in the moment in which it goes
        kept.cancel()
        await asyncio.gather(kept, return_exceptions=True)
        assert turn.done()
        slow.hold.set()
        assert {(await task).status for task in [*busy, also]} == {200}

    asyncio.run(story())


def test_a_multipart_file_keeps_every_byte():
    data = bytes(range(256)) * 3 + b"\r\n--b\r\n\n\r"
    body, headers = form((FILE, data), (FILE, b"\n"), (FILE, b"\r\n"))
    assert bodies.files(headers["content-type"], body) == [data, b"\n", b"\r\n"]


CHANGES = [
    ("/models/m/route", b'{"shares": {"1": 1}}'),
    ("/models/m/rollback", b""),
    ("/v2/repository/models/m/unload", b""),
    ("/v2/repository/models/m/load", b""),
]


@pytest.mark.parametrize(("path", "body"), CHANGES)
@pytest.mark.parametrize("admin", [None, "key"])
def test_who_changes_what_is_served_brings_the_admins_token_where_there_is_one(serve, path, body, admin):
    one = serve(Array((2,)), token="secret", admin=admin)
    for token in ("secret", "key", "other"):
        found, _ = ask(one, body, {"authorization": f"Bearer {token}"}, path=path)
        assert (found == 401) == (token != (admin or "secret"))
        found, _ = ask(one, b"", {"authorization": f"Bearer {token}"}, "GET", "/v2")
        assert (found == 200) == (token == "secret" or token == admin)


def test_an_admins_token_alone_leaves_asking_open_to_this_machine(serve):
    one = serve(Array((2,)), admin="key")
    assert ask(one, {"items": [[1, 2]]})[0] == 200
    assert ask(one, {"items": [[1, 2]]}, {**JSON, "host": "evil.example"})[0] == 403
    assert ask(one, b"", {}, path="/models/m/rollback")[0] == 401
    assert ask(one, b"", {"authorization": "Bearer key"}, path="/models/m/rollback")[0] == 409
