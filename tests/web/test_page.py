"""The label page in a real browser: keys, mouse, undo, boxes, names that try to be code, a server that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests import browser as browsers
from tests.desks import desk, photos, served

from deepen.serving.http import Server
from deepen.store.dataset import Dataset
from deepen.web import labelling

pytestmark = pytest.mark.skipif(browsers.FOUND is None, reason="no Chromium here")
STILL = "document.querySelector('#item').getAttribute('aria-busy') == 'false'"
READY = f"{STILL} && document.querySelector('#picture').clientWidth > 0"
MEAN = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def browser():
    found = browsers.Browser()
    yield found
    found.close()


def counts(page: browsers.Page, done: int) -> None:
    page.wait(f"{STILL} && document.querySelector('#counts').innerText.startsWith('{done} of')")


def shown(page: browsers.Page) -> str:
    return page.wait(f"{STILL} && document.querySelector('#id').innerText")


def values(found) -> dict[str, object]:
    return {act.item: act.value for act in found.dataset.now().acts()}


def test_classes_by_keys(browser):
    found = desk(photos(), names=("cat", "dog", MEAN))
    with served(found, "") as address:
        page = browser.page(address)
        page.wait("document.querySelector('#hello').open")
        page.type("Ann")
        page.key("Enter")
        page.wait(READY)
        assert "#" not in page.run("location.href")
        first = shown(page)
        page.key("2")
        counts(page, 1)
        assert values(found) == {first: "dog"}
        second = shown(page)
        assert second != first
        page.key("3")
        counts(page, 2)
        page.key(" ")
        page.wait(
            f"{STILL} && document.querySelector('#id').innerText && document.querySelector('#id').innerText != {second!r}"
        )
        page.key("Backspace")
        page.wait(f"{STILL} && document.querySelector('#message').innerText == 'Taken back.'")
        page.key("z", browsers.CONTROL)
        counts(page, 1)
        assert shown(page) == second
        assert page.run("document.querySelector('[aria-pressed=true] .label').innerText") == MEAN
        page.key("/")
        page.type("dog")
        page.wait("document.querySelectorAll('#names button').length == 1")
        page.key("Enter")
        counts(page, 2)
        assert values(found) == {first: "dog", second: "dog"}
        page.key("+")
        page.type("fox")
        page.key("Enter")
        page.wait("document.querySelectorAll('#names button').length == 4")
        page.key("4")
        counts(page, 3)
        found.add("owl")  # somebody else does, on another page
        for done in (4, 5, 6):
            page.key("1")
            counts(page, done)
        page.wait("[...document.querySelectorAll('#names .label')].at(-1).innerText == 'owl'")
        page.wait("document.querySelector('#empty h2').innerText == 'All done'")
        assert {act.annotator for act in found.dataset.now().acts()} == {"Ann"}
        assert "hacked" not in page.run("document.title")
        assert page.run("document.querySelectorAll('img').length") == 1
        page.close()


def test_what_the_model_says_is_filled_in(browser):
    found = desk(photos())
    found.suggest = lambda row: ("hen", 0.83)
    with served(found) as address:
        page = browser.page(address)
        page.wait(READY)
        assert page.text("#hint") == "The model says hen (83 %): Enter accepts."
        assert page.text("#names .suggested .label") == "hen"
        page.key("Enter")
        counts(page, 1)
        assert list(values(found).values()) == ["hen"]
        page.send("Page.navigate", url="about:blank")
        with Dataset(found.dataset.path) as other:  # the page left its item to others
            for _ in range(500):
                if not other.table.rows("SELECT * FROM leases"):
                    break
                threading.Event().wait(0.01)
            else:
                raise AssertionError("still held")
        page.close()


def test_boxes_by_mouse_and_keys(browser):
    found = desk(photos(), "boxes")
    with served(found) as address:
        page = browser.page(address)
        page.wait(READY)
        first = shown(page)
        x, y, width, height = page.box("#boxes")
        at = lambda u, v: (x + u * width, y + v * height)
        page.drag(at(0.1, 0.2), at(0.4, 0.6))
        page.key("2")  # the class of the box just drawn, and of the next
        page.drag(at(0.9, 0.9), at(0.6, 0.7))  # from the lower right corner
        page.drag(at(0.5, 0.1), at(0.5, 0.1))  # a click: no box
        page.drag(at(0.25, 0.4), at(0.35, 0.5))  # moves the first
        page.drag(at(0.5, 0.7), at(0.6, 0.8))  # its corner
        page.key("Enter")
        counts(page, 1)
        things = {thing["class"]: thing["box"] for thing in values(found)[first][:1]}
        assert things == {"dog": pytest.approx([0.2, 0.3, 0.6, 0.8], abs=0.01)}
        assert values(found)[first][1] == {"box": pytest.approx([0.6, 0.7, 0.9, 0.9], abs=0.01), "class": "dog"}
        page.key("Enter")  # nothing there is an answer too
        counts(page, 2)
        page.key("Insert")
        page.key("1")
        for key, modifiers in [("ArrowRight", 0), ("ArrowDown", browsers.CONTROL), ("ArrowRight", browsers.SHIFT)]:
            page.key(key, modifiers)
        page.key("Insert")
        page.key("Tab")
        page.key("Tab")
        page.key("Delete")
        third = shown(page)
        page.key("Enter")
        counts(page, 3)
        (thing,) = values(found)[third]
        expected = [0.35 + 1 / 80, 0.35 + 10 / 60, 0.65 + 2 / 80, 0.65 + 10 / 60]
        assert thing == {"box": pytest.approx(expected, abs=1e-6), "class": "cat"}
        assert [v for k, v in values(found).items() if k not in {first, third}] == [[]]
        page.key("Backspace")
        page.wait(f"{STILL} && document.querySelectorAll('.box').length == 1")
        page.close()


def test_boxes_stay_inside_the_picture(browser):
    found = desk(photos(), "boxes")
    with served(found) as address:
        page = browser.page(address)
        page.wait(READY)
        first = shown(page)
        x, y, width, height = page.box("#boxes")
        page.drag((x + width / 2, y + height / 2), (x + width + 200, y + height + 5))
        page.drag((x + 0.75 * width, y + 0.75 * height), (x - 300, y - 10))
        page.key("Enter")
        counts(page, 1)
        assert values(found)[first] == [{"box": pytest.approx([0, 0, 0.5, 0.5], abs=0.01), "class": "cat"}]
        page.close()


def test_numbers_and_several_labels(browser):
    Path("t.csv").write_text("a,y\n" + "".join(f"w{i},\n" for i in range(5)))
    found = desk("t.csv", "number", (), target="y")
    with served(found) as address:
        page = browser.page(address)
        page.wait(f"{STILL} && document.querySelector('#cells').innerText.includes('w0')")
        page.type("x")
        page.key("Enter")
        page.wait("document.querySelector('#message').innerText == 'That is not a number.'")
        page.key("Backspace")
        page.type("12,5")
        page.key("Enter")
        counts(page, 1)
        page.key(" ")
        page.wait(f"{STILL} && document.querySelector('#cells').innerText.includes('w2')")
        page.key("Backspace")
        page.wait(f"{STILL} && document.querySelector('#cells').innerText.includes('w1')")
        assert values(found) == {"t.csv:2": 12.5}
        page.close()
    found = desk(photos(), "labels")
    with served(found) as address:
        page = browser.page(address)
        page.wait(READY)
        for key in ("3", "1", "2", "2"):
            page.key(key)
        page.key("Enter")
        counts(page, 1)
        assert list(values(found).values()) == [["cat", "hen"]]
        page.close()


def test_an_answer_waits_for_a_server_that_is_away_and_counts_once(browser):
    what = photos()
    found = desk(what)
    app = labelling.App(found, "ann")
    bound = labelling.listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    bound.close()

    def start() -> tuple[Server, threading.Thread]:
        server = labelling.server(app, labelling.listen("127.0.0.1", port))
        thread = threading.Thread(target=server.run)
        thread.start()
        return server, thread

    server, thread = start()
    page = browser.page(f"http://127.0.0.1:{port}/#{app.token}")
    page.wait(READY)
    first = shown(page)
    server.stop()
    thread.join()
    page.key("1")
    page.key("2")  # meant for nothing: the item is not saved yet
    page.key(" ")
    page.wait("document.querySelector('#message').innerText.startsWith('Not saved yet')")
    assert page.text("#id") == first
    server, thread = start()
    counts(page, 1)
    assert [(act.item, act.value) for act in found.dataset.history()] == [(first, "cat")]
    server.stop()
    thread.join()
    app.thread.shutdown()
    found.dataset.close()
    page.close()


def test_without_the_token_the_page_shows_nothing(browser):
    with served(desk(photos())) as address:
        page = browser.page(address.partition("#")[0])
        page.wait("document.querySelector('#message').innerText == 'open the address that deepen label printed'")
        assert page.run("document.querySelector('#id').innerText") == ""
        page.close()


@pytest.mark.parametrize(("width", "height"), [(1200, 760), (420, 800), (800, 400)])
def test_everything_is_within_reach_at_any_size(browser, width, height):
    names = tuple(f"class {i}" for i in range(60))
    found = desk(photos(), names=names)
    with served(found) as address:
        page = browser.page(address, width, height)
        page.wait(READY)
        for selector in ("#picture", "#search", "#skip", "#undo", "#names", "#add-name"):
            x, y, w, h = page.box(selector)
            assert x >= 0, selector
            assert y >= 0, selector
            assert x + w <= width + 1, selector
            assert y + h <= height + 1, selector
            assert w > 20, selector
            assert h > 20, selector
        page.close()


def test_the_verb_serves_it_until_it_is_stopped(browser, digits_bundle):
    """deepen label, from the command line to the answer, with a run that fills in and chooses."""

    x = np.random.default_rng(0).integers(0, 255, (30, 8, 8)).astype(np.uint8)
    np.savez("a.npz", x=x, y=np.zeros(30, int) + 3)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONUNBUFFERED": "1"}
    words = [
        "label",
        "a.npz",
        "--run",
        str(digits_bundle),
        "--query",
        "margin",
        "annotator=ann",
        "port=0",
        "which=all",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "deepen", *words], stdout=subprocess.PIPE, text=True, env=environment
    )
    address = next(word for line in process.stdout for word in line.split() if word.startswith("http://"))
    page = browser.page(address)
    page.wait(READY)
    assert page.text("#hint").startswith("The model says ")
    page.key("Enter")
    counts(page, 1)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate()
    assert process.returncode == 0
    assert "given    labels of 1 items, by 1" in rest
    assert "next     deepen train a.npz" in rest
    page.close()
