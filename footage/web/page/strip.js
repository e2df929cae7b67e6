// The heat strip: strength along the whole video, the moment's bracket, and where the player is.

import * as api from "./api.js";
import { clock, h, set } from "./dom.js";
import { t } from "./words.js";

export class Strip {
  constructor(onseek) {
    this.onseek = onseek;
    this.canvas = h("canvas", { class: "heat" });
    this.bracket = h("span", { class: "bracket" });
    this.needle = h("span", { class: "needle" });
    this.tipPicture = h("img", { alt: "" });
    this.tipText = h("span", {});
    this.tip = h("span", { class: "tip", hidden: true }, this.tipPicture, this.tipText);
    this.element = h("div", { class: "strip", role: "slider", tabindex: 0, "aria-label": t("stripLabel"), "aria-valuemin": 0 },
      this.canvas, this.bracket, this.needle, this.tip);
    this.element.addEventListener("pointerdown", (event) => this.pointer(event));
    this.element.addEventListener("pointermove", (event) => this.hover(event));
    this.element.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.curve = null;
    this.duration = 1;
    this.at = 0;
  }

  show(video, moment) {
    const other = this.video !== video.id;
    this.video = video.id;
    this.duration = Math.max(video.duration, 0.001);
    if (other) this.fill(null);
    const part = (seconds) => `${(100 * seconds) / this.duration}%`;
    set(this.bracket, { style: { left: part(moment.start), width: part(moment.end - moment.start) } });
    set(this.element, { "aria-valuemax": Math.round(this.duration) });
  }

  fill(curve) {
    this.curve = curve;
    this.draw();
  }

  head(seconds) {
    this.at = seconds;
    set(this.needle, { style: { left: `${(100 * seconds) / this.duration}%` } });
    const strength = this.strength(seconds);
    const told = strength === null ? "" : `, ${Math.round(100 * strength)} %`;
    set(this.element, { "aria-valuenow": Math.round(seconds), "aria-valuetext": clock(seconds) + told });
  }

  strength(seconds) {
    const number = this.sample(seconds);
    return number < 0 ? null : this.curve.strength[number];
  }

  sample(seconds) {
    // The sample that stands for this time; columns ascend.
    if (!this.curve) return -1;
    const { start, end } = this.curve;
    let low = 0;
    let high = start.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (start[middle] <= seconds) low = middle + 1;
      else high = middle;
    }
    return low > 0 && seconds < end[low - 1] ? low - 1 : -1;
  }

  draw() {
    const width = Math.round(this.element.clientWidth * devicePixelRatio);
    const height = Math.round(this.element.clientHeight * devicePixelRatio);
    if (!width || !height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    if (!this.curve) return;
    const style = getComputedStyle(this.element);
    const [hot, cold] = [style.getPropertyValue("--hot"), style.getPropertyValue("--cold")];
    const context = this.canvas.getContext("2d");
    const { start, end, strength, weak } = this.curve;
    const peaks = new Float32Array(width).fill(-1); // a column of pixels shows the best sample in it
    for (let n = 0; n < start.length; n++) {
      const from = Math.max(0, Math.floor((start[n] / this.duration) * width));
      const to = Math.min(width, Math.max(from + 1, Math.ceil((end[n] / this.duration) * width)));
      for (let x = from; x < to; x++) peaks[x] = Math.max(peaks[x], strength[n]);
    }
    for (let x = 0; x < width; x++) {
      if (peaks[x] < 0) continue;
      const tall = Math.max(0.04, peaks[x]) * height;
      context.globalAlpha = 0.25 + 0.75 * peaks[x];
      context.fillStyle = peaks[x] >= weak ? hot : cold;
      context.fillRect(x, height - tall, 1, tall);
    }
    context.globalAlpha = 0.35;
    context.fillStyle = style.color;
    context.fillRect(0, Math.round(height * (1 - weak)), width, 1);
  }

  time(event) {
    const box = this.element.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.duration;
  }

  pointer(event) {
    if (event.button !== 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.onseek(this.time(event));
  }

  hover(event) {
    const seconds = this.time(event);
    if (event.buttons & 1) this.onseek(seconds);
    if (event.pointerType !== "mouse") return;
    const strength = this.strength(seconds);
    this.tipText.textContent = clock(seconds, 1) + (strength === null ? "" : ` · ${Math.round(100 * strength)} %`);
    this.tip.hidden = false;
    const half = this.tip.offsetWidth / 2;
    const box = this.element.getBoundingClientRect();
    const left = Math.max(half, Math.min(box.width - half, event.clientX - box.left));
    set(this.tip, { style: { left: `${left}px` } });
    const number = this.sample(seconds);
    const at = number < 0 ? seconds : this.curve.at[number];
    if (at === this.tipAt) return;
    this.tipAt = at; // one picture for each sample, and only when the pointer rests
    clearTimeout(this.timer);
    this.timer = setTimeout(() => set(this.tipPicture, { src: api.frameUrl(this.video, at) }), 60);
  }

  key(event) {
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: -step, ArrowRight: step, ArrowDown: -step, ArrowUp: step };
    if (event.key in moves) this.onseek(this.at + moves[event.key]);
    else if (event.key === "Home") this.onseek(0);
    else if (event.key === "End") this.onseek(this.duration);
    else if (event.key === "PageUp" || event.key === "PageDown") this.onseek(this.peak(event.key === "PageUp" ? 1 : -1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  peak(direction) {
    // The next stretch that rises above what is likely wrong, in this direction.
    if (!this.curve) return this.at;
    const { start, strength, weak } = this.curve;
    const rises = start.filter((_, n) => strength[n] >= weak && (n === 0 || strength[n - 1] < weak));
    const ahead = rises.filter((s) => (direction > 0 ? s > this.at + 0.05 : s < this.at - 0.05));
    return ahead.length ? (direction > 0 ? ahead[0] : ahead[ahead.length - 1]) : this.at;
  }
}
