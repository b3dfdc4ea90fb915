// Boxes over a picture: drawn, moved, resized, removed, each of a class. Coordinates are shares of the picture.
const COLOURS = ["#0072b2", "#c8500a", "#00835f", "#b5578f", "#a87800", "#3c5fc4", "#7a4fb5", "#8a5a3c", "#5c6b7a", "#b0303a"];
const SMALLEST = 0.004; // share of a side: less than that was a click
const CORNERS = ["nw", "ne", "sw", "se"];
const within = (x, low = 0, high = 1) => Math.min(Math.max(x, low), high);

export const colour = (i) => COLOURS[i % COLOURS.length];

export class Boxes {
  constructor(place, changed) {
    Object.assign(this, { place, changed, value: [], names: [], name: null, chosen: -1, pixels: [100, 100] });
    place.addEventListener("pointerdown", (event) => this.grab(event));
  }

  set(value, names) {
    this.value = value.map((thing) => ({ box: [...thing.box], class: thing.class }));
    this.names = names;
    if (!names.includes(this.name)) this.name = names[0] ?? null;
    this.chosen = -1;
    this.draw();
  }

  // The class of the chosen box, and of those drawn from now on.
  choose(name) {
    this.name = name;
    if (this.value[this.chosen]) this.value[this.chosen].class = name;
    this.draw();
    this.changed();
  }

  select(i) {
    this.chosen = i;
    if (this.value[i]) this.name = this.value[i].class;
    this.draw();
    this.changed();
  }

  add(box) {
    if (this.name == null) return;
    this.value.push({ box, class: this.name });
    this.select(this.value.length - 1);
  }

  remove() {
    if (!this.value[this.chosen]) return;
    this.value.splice(this.chosen, 1);
    this.select(-1);
  }

  draw() {
    this.place.classList.toggle("drawing", this.name != null);
    this.place.replaceChildren(...this.value.map((thing, i) => {
      const element = Object.assign(document.createElement("div"), { className: "box" });
      const [x1, y1, x2, y2] = thing.box;
      element.classList.toggle("chosen", i === this.chosen);
      element.classList.toggle("low", y1 < 0.06);
      element.style.setProperty("--colour", colour(this.names.indexOf(thing.class)));
      for (const [side, share] of [["left", x1], ["top", y1], ["width", x2 - x1], ["height", y2 - y1]]) element.style[side] = `${100 * share}%`;
      element.append(Object.assign(document.createElement("span"), { className: "tag", textContent: thing.class }));
      element.append(...CORNERS.map((corner) => Object.assign(document.createElement("div"), { className: `grip ${corner}` })));
      element.dataset.i = String(i);
      return element;
    }));
  }

  at(event) {
    const { left, top, width, height } = this.place.getBoundingClientRect();
    return [within((event.clientX - left) / width), within((event.clientY - top) / height)];
  }

  grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    document.activeElement?.blur?.();
    const start = this.at(event);
    const element = event.target.closest(".box");
    const corner = CORNERS.find((name) => event.target.classList.contains(name));
    let move = null;
    if (element) {
      this.select(Number(element.dataset.i));
      const box = [...this.value[this.chosen].box];
      move = corner ? (to) => this.stretch(box, corner, to) : (to) => this.shift(box, to[0] - start[0], to[1] - start[1]);
    } else if (this.name != null) {
      this.value.push({ box: [...start, ...start], class: this.name });
      this.chosen = this.value.length - 1;
      move = (to) => this.put([Math.min(start[0], to[0]), Math.min(start[1], to[1]), Math.max(start[0], to[0]), Math.max(start[1], to[1])]);
    }
    if (!move) return;
    const moved = (e) => move(this.at(e));
    const done = () => {
      for (const [name, function_] of [["pointermove", moved], ["pointerup", done], ["pointercancel", done]]) removeEventListener(name, function_);
      const [x1, y1, x2, y2] = this.value[this.chosen].box;
      if (!element && (x2 - x1 < SMALLEST || y2 - y1 < SMALLEST)) this.remove();
      this.changed();
    };
    addEventListener("pointermove", moved);
    addEventListener("pointerup", done);
    addEventListener("pointercancel", done);
  }

  put(box) {
    this.value[this.chosen].box = box;
    this.draw();
  }

  shift([x1, y1, x2, y2], dx, dy) {
    [dx, dy] = [within(dx, -x1, 1 - x2), within(dy, -y1, 1 - y2)];
    this.put([x1 + dx, y1 + dy, x2 + dx, y2 + dy].map((share) => within(share)));
  }

  stretch([x1, y1, x2, y2], corner, [x, y]) {
    const [west, north] = [corner[1] === "w", corner[0] === "n"];
    this.put([
      west ? within(x, 0, x2 - SMALLEST) : x1, north ? within(y, 0, y2 - SMALLEST) : y1,
      west ? x2 : within(x, x1 + SMALLEST, 1), north ? y2 : within(y, y1 + SMALLEST, 1),
    ]);
  }

  // Whether a key was meant for the boxes.
  key(event) {
    const { key } = event;
    const thing = this.value[this.chosen];
    if (key === "Insert") return this.add([0.35, 0.35, 0.65, 0.65]), true;
    if (key === "Tab" && this.value.length) {
      const step = event.shiftKey ? -1 : 1;
      const count = this.value.length;
      return this.select(thing ? (this.chosen + step + count) % count : 0), true;
    }
    if (!thing) return false;
    if (key === "Delete") return this.remove(), true;
    if (key === "Escape") return this.select(-1), true;
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    if (!right && !down) return false;
    const by = event.ctrlKey ? 10 : 1;
    const [dx, dy] = [(right * by) / this.pixels[0], (down * by) / this.pixels[1]];
    const [, , x2, y2] = thing.box;
    if (event.shiftKey) this.stretch(thing.box, "se", [x2 + dx, y2 + dy]);
    else this.shift(thing.box, dx, dy);
    this.changed();
    return true;
  }
}
