// The answer: moments grouped by video, with a storyboard under the pointer, and the one that is current.

import * as api from "./api.js";
import { button, clock, complain, h, say, set } from "./dom.js";
import { t } from "./words.js";

const TILE = 160; // pixels of one picture of a storyboard, as the server makes them
const BOARD = 12; // pictures of a storyboard
const HOVER_MS = 120; // a pointer that only passes loads nothing
const STEP_MS = 450; // between the pictures of a storyboard that runs by itself

export class Results {
  // `act` has play(moment, video), like(moment, weight), selected(moments) and judges(): who notes (moment, good), if what
  // was asked can be judged.
  constructor(act) {
    this.act = act;
    this.status = h("p", { class: "status", role: "status", "aria-live": "polite" });
    this.list = h("div", { class: "groups" });
    this.rest = h("div", { class: "groups" }); // what is more likely wrong than right
    this.fold = h("button", { type: "button", class: "fold", hidden: true, onclick: () => this.unfold(this.rest.hidden) });
    this.more = h("button", { type: "button", class: "quiet more", hidden: true, onclick: () => this.act.more() }, t("showMore"));
    this.element = h("section", { class: "results", "aria-label": t("search") }, this.status, this.list, this.fold, this.rest, this.more);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.clear();
  }

  clear() {
    this.moments = []; // all that were shown so far, in the order of the screen
    this.tiles = [];
    this.groups = new Map();
    this.chosen = new Set();
    this.current = -1;
    this.list.replaceChildren();
    this.rest.replaceChildren();
    this.fold.hidden = true;
    this.following = false;
    this.status.textContent = "";
    this.more.hidden = true;
  }

  busy(on) {
    this.element.classList.toggle("loading", on);
    if (on) this.status.textContent = t("searching");
  }

  say(...content) {
    this.status.replaceChildren(...content);
  }

  append(answer) {
    const first = this.moments.length === 0;
    this.weak = answer.weak;
    for (const moment of answer.moments) this.add(moment, answer.videos[moment.video]);
    this.order();
    this.following = answer.next !== null;
    this.summary(answer);
    this.unfold(first ? !this.list.firstChild : !this.rest.hidden);
    if (this.current < 0 && this.tiles.length) this.tiles[0].main.tabIndex = 0;
  }

  summary(answer) {
    if (this.moments.length === 0) return this.say(t("none"));
    const likely = this.tiles.filter((tile) => tile.moment.strength >= this.weak);
    const videos = new Set(likely.map((tile) => tile.moment.video)).size;
    const n = likely.length;
    const count = n === 0 ? t("weakAll") : n === 1 ? t("foundOne") : videos === 1 ? t("foundMoments", { n }) : t("found", { n, videos });
    const took = t("took", { ms: Math.round(answer.took_ms) });
    this.say(n ? h("span", {}, count) : h("strong", {}, count), h("span", { class: "took" }, took));
    this.fold.textContent = t("weakRest", { n: this.tiles.length - n });
    this.fold.hidden = n === 0 || n === this.tiles.length;
  }

  unfold(open) {
    this.rest.hidden = !open;
    // What follows is less likely still: there is no more to show while that is folded away.
    this.more.hidden = !this.following || (!open && this.rest.firstChild !== null);
    this.fold.setAttribute("aria-expanded", String(open));
  }

  add(moment, video) {
    // The unlikely moments of a video stand apart from its likely ones.
    const weak = moment.strength < this.weak;
    const key = weak ? `~${moment.video}` : moment.video;
    let group = this.groups.get(key);
    if (!group) {
      group = makeGroup(video);
      this.groups.set(key, group);
      (weak ? this.rest : this.list).append(group.element);
    }
    const tile = this.tile(moment, video);
    group.tiles.append(tile.element);
    group.items.push(tile);
  }

  order() {
    const all = [...this.groups].sort(([a], [b]) => (a[0] === "~") - (b[0] === "~")); // stable: as on the screen
    this.tiles = all.flatMap(([, group]) => group.items);
    this.moments = this.tiles.map((tile) => tile.moment);
  }

  tile(moment, video) {
    const digits = moment.end - moment.start < 3 ? 1 : 0;
    const range = `${clock(moment.start, digits)} – ${clock(moment.end, digits)}`;
    const percent = Math.round(100 * moment.strength);
    const name = t("playMoment", { name: video.name, start: clock(moment.start), end: clock(moment.end) });
    const image = h("img", { src: api.frameUrl(moment.video, moment.at), alt: "", loading: "lazy", decoding: "async" });
    const board = h("span", { class: "board", hidden: true });
    const main = h("button", { type: "button", class: "picture", tabindex: -1, "aria-label": `${name}. ${t("strength", { percent })}` },
      image, board, h("span", { class: "range" }, range));
    const check = h("input", { type: "checkbox", "aria-label": `${t("select")}: ${range}`, title: t("select"), tabindex: -1 });
    const element = h("div", { class: moment.strength < this.weak ? "tile weak" : "tile" },
      main, check,
      h("div", { class: "facts" },
        h("span", { class: "strength", title: t("strength", { percent }) },
          h("span", { class: "gauge", style: { "--part": String(moment.strength) } }), `${percent} %`),
        ...channels(moment, this.weak),
        moment.also.length > 0 && h("span", { class: "also", title: moment.also.map((a) => `${a.name} ${clock(a.at)}`).join("\n") },
          t("alsoIn", { n: moment.also.length })),
        h("span", { class: "acts" },
          ...thumbs(moment, this.act.judges()),
          button("more", t("moreLike"), () => this.act.like(moment, 1), { tabindex: -1 }),
          button("less", t("lessLike"), () => this.act.like(moment, -1), { tabindex: -1 }))));
    const tile = { element, main, check, moment, video };
    main.addEventListener("click", () => this.play(this.tiles.indexOf(tile)));
    check.addEventListener("change", () => this.choose(tile, check.checked));
    storyboard(main, board, moment, video);
    return tile;
  }

  // ----------------------------------------------------------------------------------------------- the current one

  mark(number, focus = true) {
    for (const [n, tile] of this.tiles.entries()) {
      tile.main.tabIndex = n === number ? 0 : -1;
      tile.element.classList.toggle("current", n === number);
    }
    this.current = number;
    const tile = this.tiles[number];
    if (!tile) return;
    if (this.rest.contains(tile.element)) this.unfold(true);
    if (focus) tile.main.focus({ preventScroll: true });
    tile.element.scrollIntoView({ block: "nearest" });
  }

  play(number) {
    if (number < 0 || number >= this.tiles.length) return;
    this.mark(number);
    const { moment, video } = this.tiles[number];
    this.act.play(moment, video);
  }

  step(by) {
    this.play(Math.max(0, Math.min(Math.max(this.last(), this.current), this.current + by)));
  }

  last() {
    // The last one that is on the screen.
    const shown = this.rest.hidden ? this.tiles.filter((tile) => !this.rest.contains(tile.element)) : this.tiles;
    return shown.length - 1;
  }

  find(shown) {
    return this.moments.findIndex((m) => m.video === shown.video && Math.abs(m.start - shown.start) < 0.01 && Math.abs(m.end - shown.end) < 0.01);
  }

  key(event) {
    const focused = this.tiles.findIndex((tile) => tile.main === document.activeElement);
    if (focused < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const tile = this.tiles[focused];
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.below(focused, 1), ArrowUp: this.below(focused, -1) };
    if (event.key in moves) {
      const target = Math.max(0, Math.min(this.last(), focused + moves[event.key]));
      if (this.act.playing()) this.play(target);
      else this.mark(target);
    } else if (event.key === "Home") this.mark(0);
    else if (event.key === "End") this.mark(this.last());
    else if (event.key === "m") this.act.like(tile.moment, 1);
    else if (event.key === "l") this.act.like(tile.moment, -1);
    else if (event.key === "x") {
      tile.check.checked = !tile.check.checked;
      this.choose(tile, tile.check.checked);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  below(from, direction) {
    // How many places on is the tile under (or above) this one.
    const box = this.tiles[from].main.getBoundingClientRect();
    const middle = box.left + box.width / 2;
    let best = 0;
    let bestCost = Infinity;
    for (const [n, tile] of this.tiles.entries()) {
      const other = tile.main.getBoundingClientRect();
      const down = direction * (other.top - box.top);
      if (down < 8 || other.width === 0) continue;
      const cost = down * 4 + Math.abs(other.left + other.width / 2 - middle);
      if (cost < bestCost) [best, bestCost] = [n - from, cost];
    }
    return best;
  }

  choose(tile, on) {
    if (on) this.chosen.add(tile.moment);
    else this.chosen.delete(tile.moment);
    tile.element.classList.toggle("chosen", on);
    this.element.classList.toggle("choosing", this.chosen.size > 0);
    this.act.selected(this.moments.filter((m) => this.chosen.has(m)));
  }

  unselect() {
    for (const tile of this.tiles) {
      tile.check.checked = false;
      tile.element.classList.remove("chosen");
    }
    this.chosen.clear();
    this.element.classList.remove("choosing");
    this.act.selected([]);
  }
}

function makeGroup(video) {
  const folder = video.path.replaceAll("\\", "/").split("/").slice(0, -1).pop() || "";
  const date = video.recorded_at ? new Date(1000 * video.recorded_at).toLocaleDateString() : "";
  const tiles = h("div", { class: "tiles" });
  const element = h("article", { class: "group", dataset: { video: video.id } },
    h("h3", { title: video.path }, h("span", { class: "name" }, video.name),
      h("span", { class: "about" }, [folder, clock(video.duration), date].filter(Boolean).join(" · "))),
    tiles);
  return { element, tiles, items: [] };
}

function thumbs(moment, judge) {
  if (!judge) return [];
  const mark = async (good) => {
    try {
      await judge(moment, good);
      for (const [n, thumb] of both.entries()) thumb.setAttribute("aria-pressed", String(good === (n === 0)));
    } catch (error) {
      complain(error);
    }
  };
  const both = [button("good", t("goodAnswer"), () => mark(true), { tabindex: -1 }), button("wrong", t("wrongAnswer"), () => mark(false), { tabindex: -1 })];
  return both;
}

function channels(moment, weak) {
  // Those that found it; where none did alone, the one that came nearest.
  const best = Math.max(...moment.evidence.map((e) => (e.channel === "not" ? 0 : e.strength)));
  const shown = moment.evidence.filter((e) => e.strength >= (e.channel === "not" ? weak : Math.min(weak, best)));
  return shown.map((e) => {
    const name = t(`channel.${e.channel}`);
    const title = `${e.query}: ${Math.round(100 * e.strength)} %`;
    return h("span", { class: `channel is-${e.channel}`, title }, name.startsWith("channel.") ? e.channel : name);
  });
}

function storyboard(main, board, moment, video) {
  // The key frames around the moment: they follow the pointer; with the keyboard they run by themselves.
  const start = Math.max(0, moment.start - 2);
  const end = Math.min(video.duration, moment.end + 2);
  let count = 0;
  let timer = 0;
  let loading = null;
  let part = 0; // of the way from left to right
  const show = (to) => {
    part = to;
    const number = Math.max(0, Math.min(count - 1, Math.floor(count * part)));
    set(board, { style: { "background-position": `${count > 1 ? (100 * number) / (count - 1) : 0}% 0`, "--part": String(part) } });
  };

  const load = () => {
    loading ??= new Promise((resolve) => {
      const sheet = new Image();
      sheet.onload = () => {
        count = Math.max(1, Math.round(sheet.naturalWidth / TILE));
        set(board, {
          style: {
            "background-image": `url("${sheet.src}")`, "background-size": `${100 * count}% 100%`,
            "aspect-ratio": `${TILE} / ${sheet.naturalHeight}`,
          },
        });
        resolve();
      };
      sheet.onerror = () => (loading = null);
      sheet.src = api.storyboardUrl(moment.video, start, end, BOARD);
    });
    return loading;
  };
  const open = async () => {
    await load();
    show(part);
    board.hidden = count < 2 || !main.matches(":hover, :focus-visible");
  };
  const close = () => {
    clearInterval(timer);
    clearTimeout(timer);
    board.hidden = true;
  };
  main.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") timer = setTimeout(open, HOVER_MS);
  });
  main.addEventListener("pointerleave", close);
  main.addEventListener("pointermove", (event) => {
    const box = main.getBoundingClientRect();
    show((event.clientX - box.left) / box.width);
  });
  main.addEventListener("focus", async () => {
    if (!main.matches(":focus-visible")) return;
    await open();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    clearInterval(timer);
    timer = setInterval(() => show((part + 1 / count) % 1), STEP_MS);
  });
  main.addEventListener("blur", close);
}

export class ExportBar {
  // What can be made of the selected moments.
  constructor(unselect) {
    this.count = h("span", {});
    this.format = h("select", { "aria-label": t("exportAs") },
      ...FORMATS.map(([value, label]) => h("option", { value }, label)));
    this.go = h("button", { type: "button", class: "go", onclick: () => this.run() }, t("save"));
    this.element = h("div", { class: "export", role: "region", "aria-label": t("exportAs"), hidden: true },
      this.count, h("label", {}, t("exportAs"), " ", this.format), this.go,
      h("button", { type: "button", class: "quiet", onclick: unselect }, t("unselect")));
  }

  show(moments) {
    this.moments = moments;
    this.element.hidden = moments.length === 0;
    this.count.textContent = t("selected", { n: moments.length });
  }

  async run() {
    const [format, mode] = this.format.value.split(":");
    const moments = this.moments.map(({ video, start, end, at }) => ({ video, start, end, at }));
    this.go.disabled = true;
    this.go.textContent = t("exporting");
    try {
      const answer = await api.download("/export", { moments, format, ...(mode && { mode }) });
      const failed = Number(answer.headers.get("x-failed-count"));
      if (failed) say(t("someFailed", { n: failed }), "bad");
    } catch (error) {
      complain(error);
    } finally {
      this.go.disabled = false;
      this.go.textContent = t("save");
    }
  }
}

const FORMATS = [
  ["clip:exact", t("clipsExact")], ["clip:fast", t("clipsFast")], ["png", t("framesPng")], ["csv", "CSV"], ["json", "JSON"],
  ["vtt", "WebVTT"], ["edl", "EDL (CMX3600)"], ["fcpxml", "FCPXML"], ["otio", "OTIO"],
];
