// Clip and video side by side, locked together: what plays, pauses or is sought on one side does so on the other.

import * as api from "./api.js";
import { button, clock, complain, h, icon, set } from "./dom.js";
import { Matrix } from "./matrix.js";
import { t } from "./words.js";

const AROUND = 2; // seconds before and behind a match in a version that is made for the browser
const JUMP = 0.3; // seconds apart, from which on a side is sought; below, it only hurries or waits a little

export class Pair {
  // `act` has step(by) and closed().
  constructor(act) {
    this.act = act;
    this.clip = new Reel(t("clip"), this);
    this.film = new Reel(t("video"), this);
    this.title = h("h2", {});
    this.time = h("span", { class: "clock" });
    this.playButton = button("play", t("play"), () => this.toggle());
    this.flipButton = button("flip", t("flip"), () => this.flip(), { "aria-pressed": "false" });
    this.matrix = new Matrix((seconds) => this.seek(seconds));
    this.element = h("section", { class: "pair", hidden: true, "aria-label": t("compare") },
      h("header", {}, this.title, this.flipButton, button("close", t("closePlayer"), () => this.close())),
      h("div", { class: "reels" }, this.clip.element, this.film.element),
      h("div", { class: "knobs" },
        button("previous", t("previousMatch"), () => this.act.step(-1)),
        button("less", t("frameBack"), () => this.nudge(-1)), this.playButton, button("more", t("frameOn"), () => this.nudge(1)),
        button("next", t("nextMatch"), () => this.act.step(1)), button("loop", t("again"), () => this.again()),
        this.time),
      this.matrix.element);
    this.turn = 0;
  }

  get open() {
    return !this.element.hidden;
  }

  // `source` is what the clip is: {file} of this browser, {video, start, end} of the library, or nothing that plays;
  // `request` how it is named to the server.
  async show(video, { source, request, seconds, match }) {
    const turn = ++this.turn;
    this.match = match;
    this.seconds = seconds;
    this.armed = true;
    this.element.hidden = false;
    this.title.textContent = source.video ? `${source.video.name} ↔ ${video.name}` : video.name;
    this.title.title = video.path;
    this.flip(match.mirrored);
    this.matrix.at = match.query_start;
    this.matrix.show(match, null);
    this.fps = video.fps || 25;
    this.loadMatrix(turn, request);
    const ready = [this.film.load({ video, start: 0, end: video.duration, from: match.start, to: match.end })];
    if (source.file) ready.push(this.clip.play(source.file, seconds));
    else if (source.video) ready.push(this.clip.load({ ...source, from: source.start, to: source.end }));
    else this.clip.lost(t("clipAway"));
    await Promise.all(ready);
    if (turn !== this.turn) return;
    this.again();
  }

  async loadMatrix(turn, request) {
    const { video, query_start, query_end, start, end, mirrored } = this.match;
    const ref = { video, query_start, query_end, start, end, mirrored };
    try {
      const found = await api.post("/copies/alignment", { ...request, match: ref });
      if (turn === this.turn) this.matrix.show(this.match, found);
    } catch (error) {
      if (turn !== this.turn) return;
      this.matrix.show(null, null);
      complain(error);
    }
  }

  close() {
    this.turn++;
    this.clip.clear();
    this.film.clear();
    this.element.hidden = true;
    this.act.closed();
  }

  // -------------------------------------------------------------------------------------------------- locked together

  there(seconds) {
    return this.match.offset + this.match.speed * seconds;
  }

  get lead() {
    return this.clip.dead ? this.film : this.clip;
  }

  get now() {
    // Seconds of the clip.
    return this.clip.dead ? (this.film.now - this.match.offset) / this.match.speed : this.clip.now;
  }

  get reels() {
    return [this.clip, this.film].filter((reel) => !reel.dead);
  }

  other(reel) {
    const other = reel === this.clip ? this.film : this.clip;
    return other.dead ? null : other;
  }

  again() {
    this.armed = true;
    this.seek(this.match.query_start, true);
    this.run();
  }

  run() {
    for (const reel of this.reels) reel.run();
  }

  pause() {
    for (const reel of this.reels) reel.video.pause();
    if (!this.film.dead && !this.clip.dead) this.film.seek(this.there(this.now));
  }

  get paused() {
    return this.reels.every((reel) => reel.video.paused);
  }

  toggle() {
    if (this.paused) this.run();
    else this.pause();
  }

  nudge(frames) {
    this.pause();
    this.seek(this.now + frames / this.fps);
  }

  seek(seconds, keep = false) {
    const at = Math.max(0, Math.min(seconds, this.seconds));
    if (!keep) this.armed = at < this.match.query_end - 0.01;
    if (!this.clip.dead) this.clip.seek(at);
    if (!this.film.dead) this.film.seek(this.there(at));
    this.head(at);
  }

  // What happened to one side, by whatever hand, happens to the other.
  happened(reel, what) {
    const other = this.other(reel);
    if (what === "play" && other?.video.paused) other.run();
    if (what === "pause" && !reel.video.ended) this.stopped(other);
    if (what === "seeking") {
      const at = reel === this.clip ? reel.now : (reel.now - this.match.offset) / this.match.speed;
      other?.seek(other === this.film ? this.there(at) : at);
      this.head(at);
    }
    if (what === "volume" && other && !reel.video.muted) other.mute(true);
    this.changed();
  }

  stopped(other) {
    if (!other || other.video.paused) return;
    other.video.pause();
    this.film.seek(this.there(this.now)); // they may have been a moment apart
  }

  changed() {
    const label = t(this.paused ? "play" : "pause");
    this.playButton.replaceChildren(icon(this.paused ? "play" : "pause"));
    set(this.playButton, { title: label, "aria-label": label });
    cancelAnimationFrame(this.frame);
    if (!this.paused) this.frame = requestAnimationFrame(() => this.tick());
  }

  tick() {
    if (!this.open || this.paused) return;
    const at = this.now;
    this.keepTogether(at);
    this.head(at);
    if (this.armed && at >= this.match.query_end - 0.01) {
      this.armed = false;
      this.pause();
      return;
    }
    this.frame = requestAnimationFrame(() => this.tick());
  }

  keepTogether(at) {
    const { film, clip } = this;
    if (film.dead || clip.dead || film.busy || clip.busy) return;
    const there = this.there(at);
    if (there < film.low || there > film.high - 0.05) return; // the video begins later, or is over
    // Not at once: it may have been paused just now, which `happened` is about to hear of.
    const idle = film.video.paused && !clip.video.paused;
    if (idle && this.idle) film.run();
    this.idle = idle;
    const apart = film.now - this.there(at); // of the video ahead
    if (Math.abs(apart) > JUMP * Math.max(1, this.match.speed)) film.seek(this.there(at));
    film.video.playbackRate = Math.max(0.0625, this.match.speed * (1 - Math.max(-0.1, Math.min(0.1, apart))));
  }

  head(at) {
    const there = this.there(at);
    this.time.textContent = `${clock(at, 1)} ↔ ${clock(Math.max(0, there), 1)}`;
    this.clip.head(at);
    this.film.head(there);
    this.matrix.head(at, there);
  }

  flip(on = this.flipButton.getAttribute("aria-pressed") !== "true") {
    this.flipButton.setAttribute("aria-pressed", String(on));
    this.clip.video.classList.toggle("flipped", on);
  }
}

class Reel {
  // One side. Its time is that of the clip, or of the video; that of the element may begin elsewhere.
  constructor(name, pair) {
    this.pair = pair;
    this.video = h("video", { playsinline: true, preload: "auto", tabindex: -1, onclick: () => pair.toggle() });
    this.notice = h("div", { class: "remark", hidden: true });
    this.slider = h("input", { type: "range", min: 0, max: 1, step: 0.04, "aria-label": `${t("position")}: ${name}` });
    this.slider.addEventListener("input", () => this.sought(+this.slider.value));
    this.muteButton = button("mute", t("sound"), () => this.mute(!this.video.muted));
    this.element = h("figure", { class: "reel" },
      h("div", { class: "screen" }, this.video, this.notice),
      h("figcaption", {}, h("span", {}, name), this.slider, this.muteButton));
    for (const name of ["play", "pause", "ended"]) this.video.addEventListener(name, () => pair.happened(this, name));
    this.video.addEventListener("seeking", () => this.seeking());
    this.video.addEventListener("error", () => this.failed());
    this.clear();
  }

  clear() {
    this.url?.startsWith("blob:") && URL.revokeObjectURL(this.url);
    this.url = null;
    this.dead = true;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.notify("");
  }

  async play(file, seconds) {
    this.clear();
    this.range(0, seconds, 0);
    await this.open(URL.createObjectURL(file));
  }

  // Seconds [start, end) of a video of the library, of which [from, to) must be playable; its time 0 is `start`.
  async load({ video, start, end, from, to }) {
    const turn = this.pair.turn;
    this.clear();
    try {
      const way = await api.get(`/videos/${video.id}/playback`);
      if (turn !== this.pair.turn) return;
      set(this.video, { poster: api.frameUrl(video.id, from) });
      const low = Math.max(start, from - AROUND);
      const high = Math.min(end, to + AROUND, low + way.max_rendition_seconds);
      this.convert = async () => {
        this.convert = null;
        this.notify(t("making"));
        this.range(low - start, high - start, low - start);
        await this.open(api.renditionUrl(video.id, low, high));
      };
      if (way.mode !== "direct") return await this.convert();
      this.range(0, end - start, -start);
      await this.open(way.url);
    } catch (error) {
      if (turn === this.pair.turn) this.lost(`${t("cannotPlay")}: ${error.message}`);
    }
  }

  range(low, high, base) {
    [this.low, this.high, this.base] = [low, high, base];
    set(this.slider, { min: low, max: high, value: low });
  }

  open(url) {
    this.url = url;
    this.dead = false;
    this.video.src = url;
    this.mute(this !== this.pair.clip);
    return new Promise((resolve) => {
      for (const name of ["loadeddata", "error"]) this.video.addEventListener(name, resolve, { once: true });
    }).then(() => this.video.readyState >= 2 && this.notify(""));
  }

  failed() {
    if (!this.url || !this.video.error) return;
    if (this.convert && this.url.includes("/stream")) this.convert().then(() => this.pair.again()); // this browser cannot play what most can
    else this.lost(this.url.startsWith("blob:") ? t("clipUnplayable") : t("cannotPlay"));
  }

  lost(message) {
    this.dead = true;
    this.notify(message, true);
    this.pair.changed();
  }

  get now() {
    return this.base + this.video.currentTime;
  }

  get busy() {
    return this.video.seeking || this.video.readyState < 3;
  }

  run() {
    this.video.playbackRate = this === this.pair.film ? Math.max(0.0625, this.pair.match.speed) : 1;
    this.video.play().catch((error) => {
      if (error.name === "NotAllowedError") this.pair.pause(); // the browser wants a click first
    });
  }

  seek(seconds) {
    const at = Math.max(this.low, Math.min(seconds, this.high - 0.001)) - this.base;
    this.meant = at;
    this.video.currentTime = at;
  }

  seeking() {
    if (Math.abs(this.video.currentTime - this.meant) > 0.02 && !this.dead) this.pair.happened(this, "seeking");
  }

  sought(seconds) {
    const { pair } = this;
    pair.seek(this === pair.clip ? seconds : (seconds - pair.match.offset) / pair.match.speed);
  }

  mute(on) {
    this.video.muted = on;
    const label = t(on ? "sound" : "mute");
    this.muteButton.replaceChildren(icon(on ? "mute" : "sound"));
    set(this.muteButton, { title: label, "aria-label": `${label}: ${this.slider.getAttribute("aria-label")}` });
    if (!on) this.pair.happened(this, "volume");
  }

  head(seconds) {
    this.slider.value = seconds;
    set(this.slider, { "aria-valuetext": clock(Math.max(0, seconds), 1) });
  }

  notify(text, bad = false) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
    this.notice.classList.toggle("bad", bad);
  }
}
