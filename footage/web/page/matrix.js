// The picture of a match: how alike each moment of the clip (across) is to each of the video (down), and its path.

import { clock, h, set } from "./dom.js";
import { t } from "./words.js";

const STEP = 0.2; // seconds of the clip that an arrow key goes

export class Matrix {
  constructor(onseek) {
    this.onseek = onseek; // with seconds of the clip
    this.canvas = h("canvas", {});
    this.here = h("span", { class: "here", hidden: true });
    this.across = h("span", { class: "axis across" });
    this.down = h("span", { class: "axis down" });
    this.area = h("div", { class: "area", role: "slider", tabindex: 0, "aria-label": t("alignmentLabel") }, this.canvas, this.here);
    this.element = h("figure", { class: "matrix" }, this.down, this.area, this.across, h("figcaption", {}, t("alignmentHint")));
    this.area.addEventListener("pointerdown", (event) => this.pointer(event));
    this.area.addEventListener("pointermove", (event) => event.buttons & 1 && this.pointer(event));
    this.area.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.area);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.at = 0;
    this.show(null, null);
  }

  show(match, found) {
    this.match = match;
    this.found = found;
    this.element.classList.toggle("loading", Boolean(match) && !found);
    this.here.hidden = !found;
    if (!found) return this.draw();
    this.clip = span(found.query_times);
    this.video = span(found.video_times);
    this.across.textContent = `${t("clip")}  ${clock(this.clip.from, 1)} – ${clock(this.clip.to, 1)}`;
    this.down.textContent = `${t("video")}  ${clock(this.video.from, 1)} – ${clock(this.video.to, 1)}`;
    set(this.area, { "aria-valuemin": this.clip.from.toFixed(1), "aria-valuemax": this.clip.to.toFixed(1) });
    this.draw();
    this.head(this.at, match.offset + match.speed * this.at);
  }

  head(clip, video) {
    this.at = clip;
    if (!this.found) return;
    const x = part(clip, this.clip);
    const y = part(video, this.video);
    const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
    set(this.here, { hidden: !inside, style: { left: `${100 * x}%`, top: `${100 * y}%` } });
    set(this.area, { "aria-valuenow": clip.toFixed(1), "aria-valuetext": `${clock(clip, 1)} ↔ ${clock(video, 1)}` });
  }

  draw() {
    const ratio = devicePixelRatio;
    const width = (this.canvas.width = Math.round(this.area.clientWidth * ratio));
    const height = (this.canvas.height = Math.round(this.area.clientHeight * ratio));
    if (!width || !height || !this.found) return;
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.area);
    const { similarity, query_times: across, video_times: down } = this.found;
    const all = similarity.flat().sort((a, b) => a - b);
    const low = all[Math.floor(all.length / 2)]; // what any two moments have in common is ground
    const high = Math.max(all[all.length - 1], low + 15);
    const cells = h("canvas", { width: across.length, height: down.length });
    const paint = cells.getContext("2d");
    paint.fillStyle = style.getPropertyValue("--hot");
    for (let x = 0; x < across.length; x++) {
      for (let y = 0; y < down.length; y++) {
        paint.globalAlpha = Math.max(0, Math.min(1, (similarity[x][y] - low) / (high - low)));
        paint.fillRect(x, y, 1, 1);
      }
    }
    context.drawImage(cells, 0, 0, width, height);
    const { query_start, query_end, start, end } = this.match;
    const point = (clip, video) => [part(clip, this.clip) * width, part(video, this.video) * height];
    for (const [colour, thick] of [[style.getPropertyValue("--panel"), 5], [style.color, 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick * ratio;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(...point(query_start, start));
      context.lineTo(...point(query_end, end));
      context.stroke();
    }
  }

  pointer(event) {
    if (!this.found || event.button > 0) return;
    if (event.type === "pointerdown") this.area.setPointerCapture(event.pointerId);
    const box = this.area.getBoundingClientRect();
    const x = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    this.onseek(this.clip.from + x * (this.clip.to - this.clip.from));
  }

  key(event) {
    const step = (event.shiftKey ? 5 : 1) * STEP;
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step }[event.key];
    const to = by !== undefined ? this.at + by : { Home: this.match?.query_start, End: this.match?.query_end }[event.key];
    if (to === undefined) return;
    this.onseek(to);
    event.preventDefault();
    event.stopPropagation();
  }
}

function span(times) {
  // Each time stands for half a step to both sides of it.
  const half = times.length > 1 ? (times[times.length - 1] - times[0]) / (times.length - 1) / 2 : 0.05;
  return { from: times[0] - half < 0 ? 0 : times[0] - half, to: times[times.length - 1] + half };
}

const part = (seconds, { from, to }) => (seconds - from) / (to - from);
