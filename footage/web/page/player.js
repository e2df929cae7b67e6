// The player: a moment in its video, its end marked, and under it how strongly the query is answered along the whole.

import * as api from "./api.js";
import { button, clock, complain, h, icon, say, set } from "./dom.js";
import { Strip } from "./strip.js";
import { BoxDrawer } from "./box.js";
import { t } from "./words.js";

const WINDOW = 12; // seconds of one rendition: short enough to be made while one waits
const BEFORE = 2; // seconds of it before the asked time, so that a step back needs no other
const AHEAD = 0.3; // of a rendition has played when the next one is asked for
const OTHER_SHAPE = 0.05; // of the logarithm of the ratio of aspects: more than rounding and odd sizes make
const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];

export class Player {
  // `act` has step(by), like(part), copies(video, start, end), closed() and request() (the parts of the query).
  constructor(act) {
    this.act = act;
    this.video = h("video", { playsinline: true, preload: "auto", tabindex: -1 });
    this.notice = h("div", { class: "notice", hidden: true });
    this.box = new BoxDrawer((box) => this.likeBox(box));
    this.stage = h("div", { class: "stage" }, this.video, this.box.element, this.notice);
    this.strip = new Strip((seconds) => this.seek(seconds));
    this.title = h("h2", {});
    this.range = h("p", { class: "range-text" });
    this.reason = h("p", { class: "reason", hidden: true });
    this.time = h("span", { class: "time" });
    this.playButton = button("play", t("play"), () => this.toggle());
    this.muteButton = button("sound", t("mute"), () => this.mute());
    this.loopButton = button("loop", t("loop"), () => this.setLoop(!this.loop), { "aria-pressed": "false" });
    this.boxButton = button("box", t("boxSearch"), () => this.drawBox(), { "aria-pressed": "false" });
    this.speed = h("select", { "aria-label": t("speed"), onchange: () => (this.video.playbackRate = +this.speed.value) },
      ...SPEEDS.map((v) => h("option", { value: v, ...(v === 1 && { selected: true }) }, `${v}×`)));
    this.saves = h("div", { class: "menu" });
    this.element = h("section", { class: "player", hidden: true, "aria-label": t("play") },
      h("header", {}, this.title, this.boxButton, button("link", t("copyLink"), () => this.copyLink()),
        h("details", { class: "save" }, h("summary", { title: t("save"), "aria-label": t("save") }, icon("save")), this.saves),
        button("close", t("closePlayer"), () => this.close())),
      this.stage, this.strip.element, this.reason,
      h("div", { class: "controls" },
        button("previous", t("previous"), () => this.act.step(-1)), this.playButton, button("next", t("next"), () => this.act.step(1)),
        this.time, h("span", { class: "spacer" }), this.loopButton, this.muteButton, this.speed,
        button("full", t("fullscreen"), () => this.fullscreen())),
      h("div", { class: "moment" },
        h("button", { type: "button", class: "quiet again", onclick: () => this.again() }, this.range),
        h("button", { type: "button", class: "quiet", onclick: () => this.likeFrame(1) }, t("frameSearch")),
        h("button", { type: "button", class: "quiet", onclick: () => this.likeFrame(-1) }, t("frameLess")),
        h("button", { type: "button", class: "quiet", onclick: () => this.copies() }, t("findCopies"))));
    this.loop = false;
    this.turn = 0; // counts what was asked to play: late answers to earlier ones are dropped
    for (const name of ["play", "pause", "ended", "volumechange"]) this.video.addEventListener(name, () => this.changed());
    this.video.addEventListener("ended", () => this.ended());
    this.video.addEventListener("timeupdate", () => this.tick());
    this.video.addEventListener("error", () => this.failed());
    this.video.addEventListener("loadedmetadata", () => this.checkShape());
    this.video.addEventListener("waiting", () => this.stage.classList.add("waiting"));
    for (const name of ["canplay", "playing", "error"]) {
      this.video.addEventListener(name, () => this.stage.classList.remove("waiting"));
    }
  }

  get open() {
    return !this.element.hidden;
  }

  // -------------------------------------------------------------------------------------------------- what plays

  async play(moment, video) {
    const turn = ++this.turn;
    const other = !this.film || this.film.id !== video.id;
    this.moment = moment;
    this.film = video;
    this.element.hidden = false;
    this.box.end();
    this.title.textContent = video.name;
    this.title.title = video.path;
    this.range.textContent = `↺ ${clock(moment.start, 1)} – ${clock(moment.end, 1)}`;
    set(this.stage, { style: { "aspect-ratio": `${video.width || 16} / ${video.height || 9}` } });
    this.notify("");
    this.strip.show(video, moment);
    this.fillSaves();
    this.loadStrip(turn, video);
    try {
      if (other) {
        this.video.pause();
        this.way = null;
        set(this.video, { poster: api.frameUrl(video.id, moment.at) });
        const way = await api.get(`/videos/${video.id}/playback`);
        if (turn !== this.turn) return;
        this.way = way;
        this.base = 0;
        this.span = way.mode === "direct" ? Infinity : 0;
        if (way.mode === "direct") this.video.src = way.url;
        this.reason.hidden = way.mode === "direct";
        this.reason.textContent = way.reason ? t("rendition", { reason: way.reason }) : "";
      }
      this.again();
    } catch (error) {
      if (turn === this.turn) this.notify(`${t("cannotPlay")}: ${error.message}`, true);
    }
  }

  async loadStrip(turn, video) {
    const parts = this.act.request();
    if (!parts.length) return this.strip.fill(null);
    try {
      const curve = await api.post(`/videos/${video.id}/curve`, { parts });
      if (turn === this.turn) this.strip.fill(curve);
    } catch (error) {
      if (turn === this.turn) this.strip.fill(null);
      complain(error);
    }
  }

  again() {
    if (!this.way) return;
    this.armed = true; // it stops at the moment's end, once
    this.seek(this.moment.start, true);
    this.run();
  }

  run() {
    this.video.play().catch((error) => {
      if (error.name === "NotSupportedError") this.failed(); // NotAllowedError: the browser wants a click first
    });
  }

  seek(seconds, keep = false) {
    if (!this.way) return;
    const at = Math.max(0, Math.min(seconds, this.film.duration - 0.001));
    if (!keep) this.armed = at < this.moment.end && at >= this.moment.start;
    this.notify("");
    if (this.way.mode !== "direct" && !(at >= this.base && at < this.base + this.span)) this.loadWindow(at);
    else this.video.currentTime = at - this.base;
    this.strip.head(at);
    this.showTime(at);
  }

  windowFrom(base) {
    const end = Math.min(this.film.duration, base + Math.min(WINDOW, this.way.max_rendition_seconds));
    return { span: end - base, url: api.renditionUrl(this.film.id, base, end) };
  }

  loadWindow(at, base = Math.max(0, at - BEFORE)) {
    const going = !this.video.paused;
    const { span, url } = this.windowFrom(base);
    this.base = base;
    this.span = span;
    this.ahead = false;
    this.notify(t("making"));
    this.video.src = url;
    this.video.currentTime = at - this.base;
    this.video.addEventListener("loadeddata", () => this.notify(""), { once: true });
    if (going) this.run();
  }

  get now() {
    return (this.base || 0) + this.video.currentTime;
  }

  // ----------------------------------------------------------------------------------------------------- controls

  toggle() {
    if (this.video.paused) this.run();
    else this.video.pause();
  }

  mute() {
    this.video.muted = !this.video.muted;
  }

  setLoop(on) {
    this.loop = on;
    this.loopButton.setAttribute("aria-pressed", String(on));
    if (on) this.again();
  }

  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen().catch(() => {});
  }

  nudge(frames) {
    this.video.pause();
    this.seek(this.now + frames / (this.film.fps || 25));
  }

  close() {
    this.turn++;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.film = null;
    this.way = null;
    this.box.end();
    this.element.hidden = true;
    this.act.closed();
  }

  changed() {
    const paused = this.video.paused;
    const label = t(paused ? "play" : "pause");
    this.playButton.replaceChildren(icon(paused ? "play" : "pause"));
    set(this.playButton, { title: label, "aria-label": label });
    const silent = t(this.video.muted ? "sound" : "mute");
    this.muteButton.replaceChildren(icon(this.video.muted ? "mute" : "sound"));
    set(this.muteButton, { title: silent, "aria-label": silent });
    if (!paused) {
      this.box.end();
      this.watch();
    }
  }

  watch() {
    // `timeupdate` comes four times a second, which is too coarse to stop at an end.
    cancelAnimationFrame(this.frame);
    const look = () => {
      this.tick();
      if (!this.video.paused) this.frame = requestAnimationFrame(look);
    };
    this.frame = requestAnimationFrame(look);
  }

  tick() {
    if (!this.way) return;
    const at = this.now;
    this.strip.head(at);
    this.showTime(at);
    this.askAhead(at);
    if (this.armed && !this.video.paused && at >= this.moment.end - 0.01) {
      if (this.loop) return this.seek(this.moment.start, true);
      this.armed = false;
      this.video.pause();
      this.notify(t("atEnd"));
    }
  }

  get next() {
    // Where the rendition after this one begins, if there is one.
    const next = this.base + this.span;
    return this.way && this.way.mode !== "direct" && next < this.film.duration - 0.1 ? next : null;
  }

  askAhead(at) {
    // So that it is there when this one ends; a failure shows then.
    if (this.ahead || this.video.paused || this.next === null || at < this.base + AHEAD * this.span) return;
    this.ahead = true;
    fetch(this.windowFrom(this.next).url, { headers: { range: "bytes=0-0" } }).catch(() => {});
  }

  ended() {
    if (this.loop && this.armed) return this.again();
    if (this.next === null) return;
    this.loadWindow(this.next, this.next);
    this.run();
  }

  showTime(at) {
    this.time.textContent = `${clock(at, 1)} / ${clock(this.film.duration)}`;
    this.fullFrame?.setAttribute("href", api.fullFrameUrl(this.film.id, at));
  }

  notify(text, bad = false) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
    this.notice.classList.toggle("bad", bad);
  }

  failed() {
    if (!this.way || !this.video.error) return;
    if (this.way.mode === "direct") this.convert(); // this browser cannot play what most can
    else this.why();
  }

  checkShape() {
    // A browser that turns or stretches the picture otherwise than the index did would show a box in the wrong place.
    const { videoWidth, videoHeight } = this.video;
    if (!this.way || this.way.mode !== "direct" || !videoHeight || !this.film.height) return;
    const other = (videoWidth * this.film.height) / (videoHeight * this.film.width);
    if (Math.abs(Math.log(other)) > OTHER_SHAPE) this.convert();
  }

  convert() {
    this.way = { ...this.way, mode: "rendition" };
    this.base = 0;
    this.span = 0;
    this.again();
  }

  async why() {
    // The element does not tell what the server said.
    const turn = this.turn;
    try {
      await api.get(`/videos/${this.film.id}/rendition?start=${this.base}&end=${this.base + this.span}`, { kind: "answer" });
      if (turn === this.turn) this.notify(t("cannotPlay"), true);
    } catch (error) {
      if (turn === this.turn) this.notify(`${t("cannotPlay")}: ${error.message}`, true);
    }
  }

  // ------------------------------------------------------------------------------------------- as a part of the query

  likeFrame(weight) {
    this.video.pause();
    this.act.like({ kind: "image", weight, moment: { video: this.film.id, at: this.now } });
  }

  drawBox() {
    if (this.box.active) return this.box.end();
    this.video.pause();
    this.box.begin();
    this.boxButton.setAttribute("aria-pressed", "true");
    this.box.onend = () => this.boxButton.setAttribute("aria-pressed", "false");
    say(t("boxHelp"));
  }

  likeBox(box) {
    this.act.like({ kind: "image", weight: 1, moment: { video: this.film.id, at: this.now, box } });
  }

  copies() {
    this.act.copies(this.film, this.moment.start, this.moment.end);
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      say(t("copied"));
    } catch {
      prompt(t("copyLink"), location.href); // clipboards need https, or this machine
    }
  }

  fillSaves() {
    const { start, end } = this.moment;
    const link = (label, href) => h("a", { href, download: true }, label);
    this.fullFrame = link(t("framePng"), api.fullFrameUrl(this.film.id, start));
    this.saves.replaceChildren(
      link(t("clipExact"), api.clipUrl(this.film.id, start, end, "exact")),
      link(t("clipFast"), api.clipUrl(this.film.id, start, end, "fast")), this.fullFrame);
  }
}
