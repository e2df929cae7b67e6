// The library: its videos and their state, adding folders and files, indexing as it goes, and what failed.

import * as api from "./api.js";
import { button, bytes, clock, complain, h, icon, say, set } from "./dom.js";
import { t } from "./words.js";

const PAGE = 50;
const OPEN = ["queued", "running", "paused"];
const REFRESH_MS = 1500; // between two looks at the videos while they are being indexed

export class LibraryView {
  // `act` has play(moment, video), copies(video, start, end) and changed(facts).
  constructor(act) {
    this.act = act;
    this.facts = h("p", { class: "facts" });
    this.jobs = h("div", { class: "jobs", "aria-live": "polite" });
    this.adding = new Adding(() => this.loadJobs());
    this.filter = h("input", { type: "search", placeholder: t("nameFilter"), "aria-label": t("nameFilter"), oninput: () => this.filtered() });
    this.rows = h("div", { class: "videos", role: "list" });
    this.more = h("button", { type: "button", class: "quiet more", hidden: true, onclick: () => this.loadVideos(true) }, t("showMore"));
    this.failures = h("section", { class: "failures", hidden: true });
    this.element = h("section", { class: "library", hidden: true, "aria-label": t("library") },
      this.facts, this.adding.element, this.jobs, this.failures,
      h("header", {}, h("h2", {}, t("videos")), this.filter), this.rows, this.more);
    this.followed = new Map();
    this.known = new Map(); // rows by video
    this.asked = {}; // the newest request for each part: an answer that a newer one overtook is not shown
  }

  async latest(part, path) {
    // The answer, or null if the same part was asked for again meanwhile.
    const mine = (this.asked[part] = (this.asked[part] || 0) + 1);
    const answer = await api.get(path);
    return this.asked[part] === mine ? answer : null;
  }

  async open() {
    await Promise.all([this.loadFacts(), this.loadVideos(), this.loadFailures(), this.loadJobs(), this.adding.load()]).catch(complain);
  }

  async loadFacts() {
    const facts = await this.latest("facts", "/library");
    if (!facts) return;
    const hours = clock(facts.seconds);
    this.facts.textContent = facts.videos ? t("libraryFacts", { ...facts, hours }) : t("emptyText");
    this.adding.can(facts.can_index);
    this.act.changed(facts);
  }

  // ------------------------------------------------------------------------------------------------------- videos

  filtered() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.loadVideos().catch(complain), 250);
  }

  async loadVideos(more = false) {
    const words = this.filter.value.trim();
    const query = new URLSearchParams({ limit: more ? PAGE : Math.max(PAGE, this.rows.children.length) });
    if (words) query.set("folder", `*${literal(words)}*`);
    if (more && this.next) query.set("page", this.next);
    const answer = await this.latest("videos", `/videos?${query}`);
    if (!answer) return;
    this.next = answer.next;
    const rows = answer.videos.map((video) => this.kept(video));
    if (more) this.rows.append(...rows);
    else arrange(this.rows, rows.length ? rows : [h("p", { class: "none" }, t("noVideos"))]);
    this.more.hidden = answer.next === null;
  }

  kept(video) {
    // A row that says the same stays as it is, with the focus and the click that may be on it.
    const told = JSON.stringify(video);
    if (this.known.get(video.id)?.told !== told) this.known.set(video.id, { told, element: this.row(video) });
    return this.known.get(video.id).element;
  }

  row(video) {
    const folder = video.path.replaceAll("\\", "/").split("/").slice(0, -1).join("/");
    const whole = { video: video.id, start: 0, end: video.duration, at: 0 };
    const state = video.copies === 0 ? t("gone") : video.broken_at !== null ? t("broken", { time: clock(video.broken_at, 1) }) : t("ready");
    const fine = video.copies > 0 && video.broken_at === null;
    return h("div", { class: "video", role: "listitem" },
      h("button", { type: "button", class: "picture", "aria-label": `${t("play")}: ${video.name}`, onclick: () => this.act.play(whole, video) },
        h("img", { src: api.frameUrl(video.id, video.duration / 3), alt: "", loading: "lazy" }),
        h("span", { class: "range" }, clock(video.duration))),
      h("div", { class: "about" },
        h("strong", { title: video.path }, video.name), h("span", { class: "folder", title: folder }, folder),
        h("span", {}, [`${video.width}×${video.height}`, video.codec, bytes(video.size_bytes), date(video.recorded_at)].filter(Boolean).join(" · ")),
        video.warning && h("span", { class: "warning" }, video.warning)),
      h("span", { class: fine ? "state" : "state bad" }, state),
      button("copies", `${t("findCopies")}: ${video.name}`, () => this.act.copies(video, 0, video.duration)),
      button("bin", `${t("forget")}: ${video.name}`, () => this.forget(video)));
  }

  async forget(video) {
    if (!confirm(t("forgetSure", { name: video.name }))) return;
    try {
      await api.remove(`/videos/${video.id}`);
      say(t("forgotten", { name: video.name }));
      await Promise.all([this.loadFacts(), this.loadVideos()]);
    } catch (error) {
      complain(error);
    }
  }

  async loadFailures() {
    const answer = await this.latest("failures", "/failures");
    if (!answer) return;
    const { failures } = answer;
    this.failures.hidden = failures.length === 0;
    this.failures.replaceChildren(
      h("h2", {}, `${t("failures")} (${failures.length})`),
      h("ul", {}, ...failures.map((f) => h("li", {}, h("strong", { title: f.path }, f.name), h("span", {}, f.error), f.hint && h("em", {}, f.hint)))));
  }

  // --------------------------------------------------------------------------------------------------------- jobs

  async loadJobs() {
    const { jobs } = await api.get("/jobs");
    for (const job of jobs.reverse()) {
      if (!OPEN.includes(job.state) || this.followed.has(job.id)) continue;
      const card = new JobCard(job);
      this.jobs.prepend(card.element);
      this.followed.set(job.id, card);
      card.stop = api.follow(job.id, (now) => this.progress(card, now));
    }
  }

  progress(card, job) {
    card.show(job);
    const done = JSON.stringify(job.counts);
    const over = !OPEN.includes(job.state);
    if (over) this.followed.delete(job.id);
    if (!over && (done === card.seen || Date.now() - (card.looked || 0) < REFRESH_MS)) return;
    card.seen = done;
    card.looked = Date.now();
    Promise.all([this.loadFacts(), this.loadVideos(), this.loadFailures()]).catch(complain);
  }
}

class JobCard {
  constructor(job) {
    this.title = h("strong", {});
    this.bar = h("progress", { max: 1 });
    this.told = h("p", {});
    this.current = h("p", { class: "current" });
    this.failed = h("ul", { class: "failed" });
    this.hold = button("pause", t("pause"), () => this.ask(this.job.state === "paused" ? "resume" : "pause"));
    this.end = button("close", t("cancel"), () => this.ask("cancel"));
    this.element = h("div", { class: "job" }, h("header", {}, this.title, this.hold, this.end), this.bar, this.told, this.current, this.failed);
    this.show(job);
  }

  async ask(what) {
    try {
      if (what === "cancel") this.show(await api.remove(`/jobs/${this.job.id}`));
      else this.show(await api.post(`/jobs/${this.job.id}/${what}`));
    } catch (error) {
      complain(error);
    }
  }

  show(job) {
    this.job = job;
    const p = job.progress;
    const open = OPEN.includes(job.state);
    set(this.element, { class: `job ${job.state}` });
    this.title.textContent = `${job.folders.join(", ")} – ${t(`state.${job.state}`)}`;
    set(this.bar, { value: p.fraction, "aria-label": t("jobs") });
    const counts = Object.entries(job.counts).filter(([, n]) => n).map(([name, n]) => t(`counts.${name}`, { n }));
    const facts = [t("filesDone", { done: p.files_done, files: p.files }), ...counts];
    if (job.state === "running" && p.speed) facts.push(t("speedFact", { speed: p.speed }));
    if (job.state === "running" && p.seconds_left !== null) facts.push(t("left", { time: clock(p.seconds_left) }));
    if (job.waiting) facts.push(t("waiting"));
    if (job.fetching) facts.unshift(t("fetching", { done: bytes(job.fetching.done_bytes), all: bytes(job.fetching.total_bytes) }));
    if (job.error) facts.push([job.error.message, job.error.hint].filter(Boolean).join(". "));
    this.told.textContent = facts.join(" · ");
    this.current.textContent = open ? p.current.join(", ") : "";
    const failed = open ? job.files : []; // afterwards they stand in the list of all failures
    this.failed.replaceChildren(...failed.filter((f) => f.status === "failed").map((f) => h("li", {}, h("strong", {}, f.name), `: ${f.error}`)));
    this.hold.hidden = !["running", "paused"].includes(job.state);
    this.end.hidden = !open;
    const label = t(job.state === "paused" ? "resume" : "pause");
    this.hold.replaceChildren(icon(job.state === "paused" ? "play" : "pause"));
    set(this.hold, { title: label, "aria-label": label });
  }
}

class Adding {
  // The two ways to add videos: a folder of the server's machine, or files from this device.
  constructor(onjob) {
    this.onjob = onjob;
    this.folders = h("div", { class: "folders" });
    this.file = h("input", {
      type: "file", accept: "video/*,.mkv,.avi,.mov,.ts,.mts,.m2ts,.wmv,.flv,.mxf", multiple: true, hidden: true,
      "aria-label": t("uploadVideos"), onchange: () => this.send([...this.file.files]),
    });
    this.bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("uploadVideos") });
    this.told = h("p", {}, t("uploadText"));
    this.element = h("div", { class: "adding" },
      h("div", { class: "way" }, h("h2", {}, t("addFolder")), h("p", {}, t("addFolderText")), this.folders),
      h("div", { class: "way" }, h("h2", {}, t("uploadVideos")), this.told,
        h("button", { type: "button", class: "go", onclick: () => this.file.click() }, t("uploadVideos")), " ",
        h("span", { class: "hint" }, t("dropVideos")), this.file, this.bar));
    this.inside = null;
  }

  can(index) {
    this.allowed = index;
    if (!index) this.folders.replaceChildren(h("p", { class: "hint" }, t("noFolders")));
  }

  async load(inside = this.inside) {
    if (this.allowed === false) return;
    const { folders } = await api.get(`/folders${inside ? `?inside=${encodeURIComponent(inside)}` : ""}`);
    this.inside = inside;
    if (this.allowed === false) return;
    const up = inside && h("button", { type: "button", class: "quiet", onclick: () => this.load(parent(inside)).catch(complain) }, `↑ ${t("upFolder")}`);
    const here = inside && h("div", { class: "here" }, up, h("strong", {}, inside), this.index(inside));
    const rows = folders.map((f) => h("li", {}, icon("folder"),
      f.folders
        ? h("button", { type: "button", class: "open", title: t("folderInside", { n: f.folders }), onclick: () => this.load(f.path).catch(complain) }, f.name)
        : h("span", { class: "open" }, f.name),
      this.index(f.path)));
    this.folders.replaceChildren(...[here, rows.length ? h("ul", {}, ...rows) : h("p", { class: "hint" }, t("noSub"))].filter(Boolean));
  }

  index(path) {
    const start = async () => {
      try {
        await api.post("/index", { folders: [path] });
        await this.onjob();
      } catch (error) {
        complain(error);
      }
    };
    return h("button", { type: "button", class: "index", "aria-label": `${t("indexThis")}: ${path}`, onclick: start }, t("indexThis"));
  }

  async send(files) {
    if (!files.length) return;
    this.bar.hidden = false;
    try {
      await api.upload("/uploads", files, (part) => {
        this.bar.value = part;
        this.told.textContent = t("uploading", { percent: Math.round(100 * part) });
      });
      await this.onjob();
    } catch (error) {
      complain(error);
    } finally {
      this.bar.hidden = true;
      this.told.textContent = t("uploadText");
      this.file.value = "";
    }
  }
}

function arrange(list, wanted) {
  // Elements that stay are not touched.
  for (const [n, element] of wanted.entries()) {
    if (list.children[n] !== element) list.insertBefore(element, list.children[n] || null);
  }
  while (list.children.length > wanted.length) list.lastChild.remove();
}

function literal(words) {
  // As a glob that takes the words as they are, in either case: globs mind it.
  return [...words.slice(0, 100)].map((letter) => {
    const [low, high] = [letter.toLowerCase(), letter.toUpperCase()];
    if (low !== high && low.length === 1 && high.length === 1) return `[${low}${high}]`;
    return "*?[".includes(letter) ? `[${letter}]` : letter;
  }).join("");
}

const parent = (path) => (path.includes("/") ? path.split("/").slice(0, -1).join("/") : null);
const date = (seconds) => (seconds ? new Date(1000 * seconds).toLocaleDateString() : "");
