// The label page. What comes from files and from people is only ever put in as text.
import { Boxes, colour } from "/boxes.js";

const $ = (id) => document.getElementById(id);
const KEYS = "1234567890abcdefghijklmnopqrstuvwxyz";
const BEAT = 30000; // milliseconds between signs of life
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

const state = { about: null, item: null, value: null, names: [], counts: {}, busy: false, annotator: "", holder: random() };
let token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", "/"); // the token does not stay in the address

// ---------------------------------------------------------------- the server

function tell(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

async function ask(path, body, more = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  return fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), ...more });
}

// Ask until there is an answer: what was typed is not lost when the network or the server is away for a while.
// A request that is repeated carries the same key, so it counts once.
async function sure(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
    let response = null;
    try {
      response = await ask(path, body);
    } catch {
      tell("Not saved yet: the server does not answer. Trying again.", true);
    }
    if (response && response.ok) return response.json();
    if (response) {
      const told = await response.json().catch(() => ({ error: `error ${response.status}` }));
      if (response.status !== 503) throw new Error(told.error);
      tell(`Not saved yet: ${told.error} Trying again.`, true);
    }
    await new Promise((done) => setTimeout(done, wait));
  }
}

function busy(yes) {
  state.busy = yes;
  $("item").setAttribute("aria-busy", String(yes));
}

// One act at a time. What is pressed before the next item shows is not meant for it, but an undo waits for its turn.
let turn = Promise.resolve();

function act(path, body) {
  if (!state.busy && state.annotator) turn = perform(path, body);
}

async function perform(path, body) {
  busy(true);
  try {
    const found = await sure(path, { holder: state.holder, annotator: state.annotator, ...body });
    tell(path === "/api/undo" ? (found.undone ? "Taken back." : "Nothing to take back.") : "");
    if (found.classes !== state.names.length) state.names = (await sure("/api/about")).names; // somebody else added one
    await show(found);
  } catch (problem) {
    tell(problem.message, true);
  } finally {
    busy(false);
  }
}

const next = (skipped = false) => act("/api/next", { skipped });
const save = (value) => state.item && act("/api/answer", { key: random(), item: state.item.item, value });
const skip = () => state.item && act("/api/answer", { key: random(), item: state.item.item, skip: true });
const undo = () => void (turn = turn.then(() => perform("/api/undo", { key: random() })));

// ---------------------------------------------------------------- the item

const boxes = new Boxes($("boxes"), () => {
  state.value = boxes.value;
  draw();
});

// What stood there before it was taken back, or what the model says.
const given = () => state.item?.before ?? state.item?.suggestion;

async function show({ item, progress }) {
  state.item = item;
  state.counts = progress.counts;
  $("progress").max = progress.total || 1;
  $("progress").value = progress.done;
  $("counts").textContent = `${progress.done} of ${progress.total}`;
  document.title = `${progress.done}/${progress.total} ${state.about.title}`;
  $("id").textContent = item ? item.id : "";
  $("stage").hidden = !item || !item.picture;
  $("sound").hidden = !item || !item.sound;
  $("cells").hidden = !item || !item.cells.length;
  $("empty").hidden = Boolean(item);
  $("search").value = "";
  const widget = state.about.widget;
  boxes.set([], state.names);
  state.value = given() ?? (widget === "choices" || widget === "boxes" ? [] : null);
  $("number").value = widget === "number" && given() != null ? String(given()) : "";
  if (item) {
    $("cells").replaceChildren(...item.cells.map(([name, text]) => row(name, text)));
    if (item.picture) await picture(item);
    if (item.sound) await sound(item);
  } else {
    finished(progress);
  }
  if (widget === "boxes") boxes.set(item ? state.value : [], state.names);
  draw();
  focus();
}

function row(name, text) {
  const line = document.createElement("tr");
  const [head, cell] = [document.createElement("th"), document.createElement("td")];
  [head.textContent, cell.textContent] = [name, text];
  line.append(head, cell);
  return line;
}

function finished(progress) {
  const head = document.createElement("h2");
  const text = document.createElement("p");
  head.textContent = progress.done >= progress.total ? "All done" : "Nothing left for you";
  text.textContent = `${progress.done} of ${progress.total} items are labelled` + (progress.skipped ? `, ${progress.skipped} you skipped.` : ".");
  $("empty").replaceChildren(head, text);
  if (!progress.skipped) return;
  const again = document.createElement("button");
  again.id = "again";
  again.textContent = "Go through what you skipped";
  again.addEventListener("click", () => next(true));
  $("empty").append(again);
}

// The item's file in an element's src.
async function load(item, element) {
  const response = await ask(`/api/file/${item.item}`);
  if (!response.ok) throw new Error((await response.json()).error);
  URL.revokeObjectURL(element.src);
  element.src = URL.createObjectURL(await response.blob());
}

async function sound(item) {
  const player = $("sound");
  try {
    await load(item, player);
    await player.play();
  } catch (problem) {
    // a browser may want a key pressed before it plays: the player stands there to be started by hand
    if (problem.name !== "NotAllowedError") tell(`The sound cannot be played (${problem.message}). Skip it.`, true);
  }
}

async function picture(item) {
  const image = $("picture");
  try {
    await load(item, image);
    await image.decode();
    fit();
  } catch (problem) {
    image.removeAttribute("src");
    tell(`The picture cannot be shown (${problem.message}). Skip it.`, true);
  }
}

function fit() {
  const image = $("picture");
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  if (!width) return;
  const most = Math.max(width, height) <= 64 ? 16 : 3;
  const scale = Math.min(($("item").clientWidth - 32) / width, ($("item").clientHeight - 32) / height, most);
  image.style.width = `${width * scale}px`;
  image.style.height = `${height * scale}px`;
  image.classList.toggle("sharp", scale > 2);
  boxes.pixels = [width, height];
}

// ---------------------------------------------------------------- the panel

function draw() {
  const { widget } = state.about;
  const wanted = $("search").value.trim().toLowerCase();
  const current = widget === "boxes" ? [boxes.name] : widget === "choices" ? state.value ?? [] : [state.item?.before];
  const shown = state.names.map((name, i) => [name, i]).filter(([name]) => name.toLowerCase().includes(wanted));
  $("names").replaceChildren(...shown.map(([name, i]) => choice(name, i, current.includes(name))));
  $("save").hidden = widget === "choice" && given() == null;
  for (const id of ["save", "skip"]) $(id).disabled = !state.item;
  const { suggestion, share } = state.item ?? {};
  $("hint").textContent = suggestion == null ? "" : widget === "choice"
    ? `The model says ${suggestion}${share == null ? "" : ` (${Math.round(100 * share)} %)`}: Enter accepts.`
    : "Filled in by the model: mend it, then Enter.";
}

function choice(name, i, chosen) {
  const [line, button, label, count] = ["li", "button", "span", "span"].map((tag) => document.createElement(tag));
  button.type = "button";
  button.setAttribute("aria-pressed", String(chosen));
  button.classList.toggle("suggested", state.about.widget === "choice" && state.item?.suggestion === name && !chosen);
  if (KEYS[i]) button.append(Object.assign(document.createElement("kbd"), { textContent: KEYS[i] }));
  if (state.about.widget === "boxes") {
    const dot = Object.assign(document.createElement("span"), { className: "dot" });
    dot.style.background = colour(i);
    button.append(dot);
  }
  [label.className, count.className] = ["label", "count"];
  [label.textContent, count.textContent] = [name, state.counts[name] ?? ""];
  button.append(label, count);
  button.addEventListener("click", () => pick(name));
  line.append(button);
  return line;
}

function pick(name) {
  const { widget } = state.about;
  if (!state.item || state.busy) return;
  if (widget === "choice") return void save(name);
  if (widget === "boxes") boxes.choose(name);
  if (widget === "choices") {
    const had = state.value.includes(name);
    state.value = state.names.filter((n) => (n === name ? !had : state.value.includes(n)));
  }
  $("search").value = "";
  draw();
}

function accept() {
  if (!state.item) return;
  const { widget } = state.about;
  if (widget === "choice") return void (given() != null && save(given()));
  if (widget !== "number") return void save(state.value);
  const text = $("number").value.trim().replace(",", ".");
  if (text === "" || !Number.isFinite(Number(text))) return tell("That is not a number.", true);
  save(Number(text));
}

function focus() {
  if (state.about.widget === "number" && state.item) {
    $("number").focus();
    $("number").select();
  } else if (document.activeElement instanceof HTMLElement) {
    document.activeElement.blur(); // so that keys mean classes, not the last button
  }
}

// ---------------------------------------------------------------- keys

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || !state.about) return;
  const { key, target } = event;
  const typing = target instanceof HTMLInputElement;
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const handled = () => event.preventDefault();
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z" && !typing) return handled(), void undo();
  if (typing && target.id === "add-name") return void (key === "Escape" && target.blur());
  if (typing && target.id === "search") {
    if (key === "Escape") return (target.value = ""), target.blur(), draw();
    if (key === "Enter") {
      handled();
      $("names").querySelector("button")?.click();
      target.blur();
    }
    return;
  }
  if (typing && target.id === "number") {
    if (key === "Enter") return handled(), accept();
    if (key === " ") return handled(), void skip();
    if (key === "Backspace" && (target.value === "" || !state.item)) return handled(), void undo();
    return;
  }
  if (!plain && !(key.startsWith("Arrow") && event.ctrlKey)) return;
  if (event.repeat && !key.startsWith("Arrow")) return handled();
  if (state.about.widget === "boxes" && state.item && boxes.key(event)) return handled();
  if (target instanceof HTMLButtonElement && (key === "Enter" || key === " ")) return; // the button's own
  if (key === "Enter") return handled(), accept();
  if (key === " ") return handled(), void skip();
  if (key === "Backspace") return handled(), void undo();
  if (key === "/") return handled(), $("search").focus();
  if (key === "+") return handled(), $("add-name").focus();
  if (key === "?") return handled(), $("help").showModal();
  const at = KEYS.indexOf(key.toLowerCase());
  if (key.length === 1 && at >= 0 && at < state.names.length) handled(), pick(state.names[at]);
});

$("save").addEventListener("click", accept);
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("search").addEventListener("input", draw);
$("help-open").addEventListener("click", () => $("help").showModal());
addEventListener("resize", () => state.about && fit());
$("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    state.names = (await sure("/api/add", { name: $("add-name").value })).names;
    if (state.about.widget === "boxes") boxes.set(state.value ?? [], state.names);
    $("add-name").value = "";
    $("add-name").blur();
    tell("");
    draw();
  } catch (problem) {
    tell(problem.message, true);
  }
});
setInterval(() => state.item && ask("/api/beat", { holder: state.holder, item: state.item.item }).catch(() => {}), BEAT);

addEventListener("pagehide", () => state.item && ask("/api/leave", { holder: state.holder }, { keepalive: true }).catch(() => {}));

// ---------------------------------------------------------------- the beginning

const HELP = {
  choice: [["1-9, 0, a-z", "this class"], ["Enter", "accept what the model says"]],
  choices: [["1-9, 0, a-z", "this label, on or off"], ["Enter", "save"]],
  number: [["Enter", "save the number"]],
  boxes: [["drag", "a new box"], ["1-9, 0, a-z", "class of the chosen box, or of the next"], ["Tab", "the next box"], ["Arrows", "move it by a pixel (Ctrl: 10)"],
    ["Shift + arrows", "change its size"], ["Insert", "a box in the middle"], ["Delete", "remove it"], ["Escape", "choose none"], ["Enter", "save"]],
};

async function begin() {
  try {
    state.about = await sure("/api/about");
  } catch (problem) {
    return tell(problem.message, true);
  }
  const { about } = state;
  state.names = about.names;
  const named = about.widget !== "number";
  $("title").textContent = about.title;
  $("question").textContent = about.target;
  $("number").hidden = named;
  for (const id of ["names", "add", "search"]) $(id).hidden = !named;
  const common = [["Space", "skip"], ["Backspace, Ctrl+Z", "undo"], ...(named ? [["/", "search a class"], ["+", "a new class"]] : [])];
  $("keys").replaceChildren(...[...HELP[about.widget], ...common].flatMap(([keys, text]) => {
    const [key, what] = [document.createElement("dt"), document.createElement("dd")];
    key.append(Object.assign(document.createElement("kbd"), { textContent: keys }));
    what.textContent = text;
    return [key, what];
  }));
  state.annotator = about.annotator || sessionStorage.getItem("annotator") || "";
  if (!state.annotator) {
    $("hello").showModal();
    await new Promise((done) => $("hello").addEventListener("close", done, { once: true }));
    state.annotator = $("name").value.trim() || "anonymous";
    sessionStorage.setItem("annotator", state.annotator);
  }
  $("who").textContent = state.annotator;
  await next();
}

begin();
