// A box on the paused frame, drawn with a pointer or moved with the arrow keys: the part of the picture to search for.

import { h, set } from "./dom.js";
import { t } from "./words.js";

const SMALLEST = 0.04; // of the picture; less was a click and not a box
const STEP = 0.02;

export class BoxDrawer {
  constructor(ondone) {
    this.ondone = ondone;
    this.onend = () => {};
    this.frame = h("span", { class: "box" });
    this.element = h("div", { class: "boxes", hidden: true, tabindex: 0, role: "application", "aria-label": t("boxHelp") }, this.frame);
    this.element.addEventListener("pointerdown", (event) => this.down(event));
    this.element.addEventListener("pointermove", (event) => this.move(event));
    this.element.addEventListener("pointerup", () => this.up());
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  get active() {
    return !this.element.hidden;
  }

  begin() {
    this.element.hidden = false;
    this.draw({ x: 0.25, y: 0.25, w: 0.5, h: 0.5 });
    this.element.focus();
  }

  end() {
    if (!this.active) return;
    this.element.hidden = true;
    this.from = null;
    this.onend();
  }

  place(event) {
    const box = this.element.getBoundingClientRect();
    const inside = (value) => Math.max(0, Math.min(1, value));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  down(event) {
    this.element.setPointerCapture(event.pointerId);
    this.from = this.place(event);
    event.preventDefault();
  }

  move(event) {
    if (!this.from) return;
    const to = this.place(event);
    const [x, y] = [Math.min(this.from[0], to[0]), Math.min(this.from[1], to[1])];
    this.draw({ x, y, w: Math.abs(to[0] - this.from[0]), h: Math.abs(to[1] - this.from[1]) });
  }

  up() {
    if (!this.from) return;
    this.from = null;
    if (this.box.w >= SMALLEST && this.box.h >= SMALLEST) this.done();
  }

  done() {
    const round = (value) => Math.round(value * 1000) / 1000;
    const { x, y, w, h: height } = this.box;
    this.end();
    this.ondone({ x: round(x), y: round(y), w: Math.max(0.001, round(Math.min(w, 1 - x))), h: Math.max(0.001, round(Math.min(height, 1 - y))) });
  }

  key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const { x, y, w, h: height } = this.box;
      if (event.shiftKey) {
        this.draw({ x, y, w: clamp(w + dx, SMALLEST, 1 - x), h: clamp(height + dy, SMALLEST, 1 - y) });
      } else this.draw({ x: clamp(x + dx, 0, 1 - w), y: clamp(y + dy, 0, 1 - height), w, h: height });
    } else if (event.key === "Enter") this.done();
    else if (event.key === "Escape") this.end();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw(box) {
    this.box = box;
    const percent = (value) => `${100 * value}%`;
    set(this.frame, { style: { left: percent(box.x), top: percent(box.y), width: percent(box.w), height: percent(box.h) } });
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
