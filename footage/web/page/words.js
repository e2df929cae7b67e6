// What the page says, in English and Chinese; the browser's language decides, the switch in the head overrides it.

const EN = {
  copies: "Copies", findCopies: "Find copies", chooseClip: "Choose a clip", clip: "clip", video: "video", position: "Position",
  copiesHint: "Drop a clip, or choose Find copies at a video of the library or in the player. Footage shows which of its seconds are which seconds of your videos, however it was cropped, mirrored, sped up or cut.",
  onlyHeard: "also what is only heard", sending: "Sending the clip …", noClip: "{name} is not a video; copies are found of clips", firstPart: "The first {minutes} minutes are looked for.",
  withinLibrary: "Copies within the library", compareAgain: "Compare again", howFar: "How far it is",
  why: { complete: "the most complete", sound: "with sound", large: "the largest picture, {size}", bits: "the most bits, {rate} kbit/s", whole: "no pieces of others", between: "; " },
  far: { clip: "Looking for copies: {done} of {of} of the clip", videos: "Reading videos: {done} of {of}", pairs: "Comparing pairs of videos: {done} of {of}" },
  comparingLibrary: "Comparing the library's videos with each other …", foundGroups: "Groups of copies: {n}. Pieces of shared material: {shared}. No file is touched.",
  keepThis: "Keep {name}", covered: "{percent} % of it is there too", redundant: "redundant", sharedMaterial: "Shared material, in {n} videos",
  kind: { master: "keep", "re-encode": "re-encode", excerpt: "excerpt", dubbed: "other sound", mirrored: "mirrored", compilation: "compilation", overlap: "overlap" },
  lookingForCopies: "Looking for copies …", stopped: "Stopped.", noCopies: "No copies found.", oneCopy: "1 match", foundInOne: "{n} matches in one video", foundCopies: "{n} matches in {videos} videos", tookSeconds: "{seconds} s",
  atSpeed: "{speed} × speed", mirrored: "mirrored", probability: "Probability {percent} %", evidence: { picture: "picture", sound: "same sound", "other sound": "other sound" },
  matchLabel: "{from} to {to} of the clip is {start} to {end} of {name}, {percent} %", compare: "Clip and video side by side", flip: "Mirror the clip",
  previousMatch: "Previous match", nextMatch: "Next match", frameBack: "One frame back", frameOn: "One frame on", alignmentLabel: "Alignment of clip and video",
  alignmentHint: "Bright: the clip's moment (across) looks like the video's (down). The line is the match; a click goes there.",
  clipAway: "The clip was sent from another tab or before a reload. Choose it again to play it here.", clipUnplayable: "This browser cannot play the clip; its match plays alone.",
  search: "Search", library: "Library", language: "中文", logout: "Log out", help: "Keyboard shortcuts",
  placeholder: "Words for the moment, or drop a picture or a clip here",
  not: "without …", notLabel: "What must not be in it", filters: "Filters", addFile: "Add a picture or a clip",
  addWords: "Add these words as a part of their own", folder: "Folder", after: "Recorded from", before: "Recorded before",
  min: "At least (minutes)", max: "At most (minutes)", clear: "Clear all",
  weight: "weight", wordsWeight: "Weight of the words", heavier: "count more", lighter: "count less", drop: "Drop it: find moments like this",
  likeThis: "like this", unlikeThis: "not like this", turn: "turn into the opposite", removePart: "Remove {what}",
  part: { image: "picture", video: "clip", text: "words" }, region: "part of a picture",
  channel: { text: "words", image: "picture", video: "clip", copy: "same frame", not: "not", speech: "speech" },
  found: "{n} moments in {videos} videos", foundOne: "1 moment", foundMoments: "{n} moments in one video", took: "{ms} ms",
  none: "Nothing passes these filters.", weakAll: "No good answer. These come nearest:", weakRest: "{n} less likely",
  showMore: "Show more", searching: "Searching …", strength: "Strength {percent} %",
  start: "Describe a moment, drop a picture of it, or drop a clip.",
  startHint: "Pictures can also be pasted. Combine several, give them weights, and say what must not be there.",
  playMoment: "Play {name} from {start} to {end}", moreLike: "More like this", lessLike: "Less like this", alsoIn: "also in {n} more",
  goodAnswer: "Right answer", wrongAnswer: "Wrong answer", judged: "Noted. footage eval mine learns from it.",
  select: "Select for export", selected: "{n} selected", unselect: "Select none", exportAs: "Export as",
  play: "Play", pause: "Pause", mute: "Mute", sound: "Sound on", fullscreen: "Full screen", speed: "Speed",
  previous: "Previous result", next: "Next result", again: "Play the moment again", loop: "Repeat the moment", closePlayer: "Close the player",
  atEnd: "End of the moment", stripLabel: "Strength of this query along the video", making: "Making a playable version …",
  cannotPlay: "This cannot be played", rendition: "Converted for the browser: {reason}",
  boxSearch: "Search for a part of this frame", boxHelp: "Draw a box on the picture. Or: arrow keys move it, with Shift they change its size, Enter searches, Escape leaves.",
  frameSearch: "More like this frame", frameLess: "Less like this frame", copyLink: "Copy link", copied: "Link copied",
  clipExact: "Clip, frame-exact", clipFast: "Clip, fast (from key frame to key frame)", framePng: "This frame (PNG)", save: "Save",
  clipsExact: "Clips, frame-exact (ZIP)", clipsFast: "Clips, fast (ZIP)", framesPng: "Frames (PNG, ZIP)", exporting: "Exporting …",
  someFailed: "{n} could not be made; the ZIP's manifest says why",
  libraryFacts: "{videos} videos, {hours}, {samples} samples, model {model}", emptyTitle: "Nothing is indexed yet",
  emptyText: "Footage looks through your videos once. Then any moment of them is found by words, a picture or a clip.",
  addFolder: "Add a folder", addFolderText: "Index a folder of this machine. The videos stay where they are.",
  noFolders: "To add folders from here, start the server with --allow-dir FOLDER. On the command line: footage index FOLDER",
  indexThis: "Index this folder", upFolder: "Up", folderInside: "{n} folders inside", noSub: "No folders inside",
  uploadVideos: "Upload videos", uploadText: "Send files from this device; a copy is kept with the library.", uploading: "Sending {percent} %", dropVideos: "Or drop them here.",
  jobs: "Indexing", state: { queued: "waiting", running: "indexing", paused: "paused", done: "done", failed: "failed", cancelled: "cancelled" },
  resume: "Go on", cancel: "Cancel", filesDone: "{done} of {files} files", speedFact: "{speed} × real time", left: "about {time} left", waiting: "another process is writing to the library", fetching: "fetching the model: {done} of {all}",
  counts: { indexed: "{n} new", unchanged: "{n} unchanged", moved: "{n} moved", failed: "{n} failed", vanished: "{n} vanished", pruned: "{n} forgotten" },
  failures: "Files that could not be indexed", noVideos: "No videos pass.", nameFilter: "Name or folder contains …", videos: "Videos",
  name: "Name", duration: "Duration", size: "Size", recorded: "Recorded", status: "State", ready: "searchable", broken: "broken at {time}", gone: "file is gone",
  forget: "Forget this video", forgetSure: "Forget “{name}”? The file itself stays where it is.", forgotten: "Forgotten: {name}", searchIn: "Show its key frames",
  away: "The server cannot be reached", videoTooLong: "too long", gonePart: "A picture or clip of this link is no longer on the server. Add it again.",
  keys: [["/", "go to the words"], ["← →", "previous or next result"], ["Enter", "search; play the result"], ["Space", "play or pause"], [", .", "one frame back or on"], ["S", "start of the moment"], ["M / L", "more / less like this result"], ["B", "search for a part of the frame"], ["X", "select for export"], ["F", "mirror the clip beside its match"], ["Esc", "close the player"]],
  close: "Close",
};

const ZH = {
  copies: "查重", findCopies: "查找副本", chooseClip: "选择片段", clip: "片段", video: "视频", position: "位置",
  copiesHint: "拖入一个片段，或在素材库或播放器中点“查找副本”。无论片段经过裁剪、镜像、变速还是剪辑，Footage 都会指出它的哪几秒是哪个视频的哪几秒。",
  onlyHeard: "也包括只有声音相同的", sending: "正在发送片段 …", noClip: "{name} 不是视频；查重需要片段", firstPart: "将查找前 {minutes} 分钟。",
  withinLibrary: "素材库内查重", compareAgain: "重新比较", howFar: "进度",
  why: { complete: "最完整", sound: "有声音", large: "画面最大，{size}", bits: "码率最高，{rate} kbit/s", whole: "并非由其他片段拼成", between: "；" },
  far: { clip: "正在查找副本：片段 {done} / {of}", videos: "正在读取视频：{done} / {of}", pairs: "正在比较视频对：{done} / {of}" },
  comparingLibrary: "正在比较素材库中的视频 …", foundGroups: "{n} 组副本，{shared} 处共有素材。文件不会被改动。",
  keepThis: "保留 {name}", covered: "其中 {percent} % 也在保留的视频中", redundant: "多余", sharedMaterial: "共有素材，见于 {n} 个视频",
  kind: { master: "保留", "re-encode": "转码", excerpt: "节选", dubbed: "声音不同", mirrored: "镜像", compilation: "合辑", overlap: "部分重叠" },
  lookingForCopies: "正在查找副本 …", stopped: "已停止。", noCopies: "没有找到副本。", oneCopy: "1 处匹配", foundInOne: "一个视频中的 {n} 处匹配", foundCopies: "{videos} 个视频中的 {n} 处匹配", tookSeconds: "{seconds} 秒",
  atSpeed: "{speed} 倍速", mirrored: "镜像", probability: "概率 {percent} %", evidence: { picture: "画面", sound: "声音相同", "other sound": "声音不同" },
  matchLabel: "片段的 {from} 到 {to} 是 {name} 的 {start} 到 {end}，{percent} %", compare: "片段与视频并排", flip: "镜像显示片段",
  previousMatch: "上一处匹配", nextMatch: "下一处匹配", frameBack: "后退一帧", frameOn: "前进一帧", alignmentLabel: "片段与视频的对齐",
  alignmentHint: "亮处：片段的这一刻（横向）与视频的那一刻（纵向）相似。线为匹配，点击即可跳转。",
  clipAway: "此片段来自另一个标签页或刷新之前，请重新选择以便在此播放。", clipUnplayable: "此浏览器无法播放该片段，只播放匹配的视频。",
  search: "搜索", library: "素材库", language: "English", logout: "退出登录", help: "键盘快捷键",
  placeholder: "描述这个瞬间，或把图片、片段拖到这里",
  not: "不含 …", notLabel: "不应出现的内容", filters: "筛选", addFile: "添加图片或片段",
  addWords: "把这些词作为单独的条件", folder: "文件夹", after: "拍摄日期从", before: "拍摄日期早于",
  min: "最短（分钟）", max: "最长（分钟）", clear: "全部清除",
  weight: "权重", wordsWeight: "文字的权重", heavier: "提高权重", lighter: "降低权重", drop: "松开，即可查找相似的瞬间",
  likeThis: "像这个", unlikeThis: "不像这个", turn: "改为相反", removePart: "移除{what}",
  part: { image: "图片", video: "片段", text: "文字" }, region: "画面的一部分",
  channel: { text: "文字", image: "图片", video: "片段", copy: "同一画面", not: "排除", speech: "语音" },
  found: "{videos} 个视频中的 {n} 个瞬间", foundOne: "1 个瞬间", foundMoments: "一个视频中的 {n} 个瞬间", took: "{ms} 毫秒",
  none: "没有符合筛选条件的内容。", weakAll: "没有很好的答案，最接近的是：", weakRest: "另有 {n} 个可能性较小",
  showMore: "显示更多", searching: "正在搜索 …", strength: "匹配度 {percent} %",
  start: "描述一个瞬间，或拖入它的图片或片段。",
  startHint: "也可以粘贴图片；可组合多个条件、设置权重，并说明不应出现的内容。",
  playMoment: "播放 {name}，{start} 到 {end}", moreLike: "更多类似的", lessLike: "少一些类似的", alsoIn: "另见 {n} 处",
  goodAnswer: "答案正确", wrongAnswer: "答案错误", judged: "已记录，footage eval mine 会据此改进。",
  select: "选择以导出", selected: "已选 {n} 个", unselect: "取消选择", exportAs: "导出为",
  play: "播放", pause: "暂停", mute: "静音", sound: "打开声音", fullscreen: "全屏", speed: "速度",
  previous: "上一个结果", next: "下一个结果", again: "重新播放这个瞬间", loop: "循环播放这个瞬间", closePlayer: "关闭播放器",
  atEnd: "瞬间结束", stripLabel: "本次查询在整个视频中的匹配度", making: "正在生成可播放的版本 …",
  cannotPlay: "无法播放", rendition: "已为浏览器转换：{reason}",
  boxSearch: "搜索画面的一部分", boxHelp: "在画面上画一个框。也可用方向键移动，按住 Shift 改变大小，回车搜索，Esc 退出。",
  frameSearch: "更多像这一帧的", frameLess: "少一些像这一帧的", copyLink: "复制链接", copied: "链接已复制",
  clipExact: "片段（逐帧精确）", clipFast: "片段（快速，按关键帧）", framePng: "当前画面（PNG）", save: "保存",
  clipsExact: "片段，逐帧精确（ZIP）", clipsFast: "片段，快速（ZIP）", framesPng: "画面（PNG，ZIP）", exporting: "正在导出 …",
  someFailed: "{n} 个未能生成，原因见 ZIP 中的清单",
  libraryFacts: "{videos} 个视频，{hours}，{samples} 个采样，模型 {model}", emptyTitle: "还没有建立索引",
  emptyText: "Footage 只需把您的视频看一遍，之后就能用文字、图片或片段找到其中的任何瞬间。",
  addFolder: "添加文件夹", addFolderText: "为本机的文件夹建立索引，视频仍保留在原处。",
  noFolders: "要在这里添加文件夹，请用 --allow-dir 文件夹 启动服务；命令行：footage index 文件夹",
  indexThis: "为此文件夹建立索引", upFolder: "上一级", folderInside: "内有 {n} 个文件夹", noSub: "没有子文件夹",
  uploadVideos: "上传视频", uploadText: "从这台设备发送文件，副本保存在素材库中。", uploading: "已发送 {percent} %", dropVideos: "也可以拖到这里。",
  jobs: "建立索引", state: { queued: "等待中", running: "进行中", paused: "已暂停", done: "完成", failed: "失败", cancelled: "已取消" },
  resume: "继续", cancel: "取消", filesDone: "{done} / {files} 个文件", speedFact: "{speed} 倍速", left: "大约还需 {time}", waiting: "另一个进程正在写入素材库", fetching: "正在下载模型：{done} / {all}",
  counts: { indexed: "新增 {n}", unchanged: "未变 {n}", moved: "移动 {n}", failed: "失败 {n}", vanished: "消失 {n}", pruned: "清除 {n}" },
  failures: "未能建立索引的文件", noVideos: "没有符合条件的视频。", nameFilter: "名称或文件夹包含 …", videos: "视频",
  name: "名称", duration: "时长", size: "大小", recorded: "拍摄时间", status: "状态", ready: "可搜索", broken: "在 {time} 处损坏", gone: "文件已不在",
  forget: "从素材库移除", forgetSure: "移除“{name}”？文件本身不受影响。", forgotten: "已移除：{name}", searchIn: "显示关键帧",
  away: "无法连接服务器", videoTooLong: "太长", gonePart: "此链接中的图片或片段已不在服务器上，请重新添加。",
  keys: [["/", "转到输入框"], ["← →", "上一个或下一个结果"], ["Enter", "搜索；播放结果"], ["空格", "播放或暂停"], [", .", "后退或前进一帧"], ["S", "回到瞬间开头"], ["M / L", "更多 / 少一些类似的"], ["B", "搜索画面的一部分"], ["X", "选择以导出"], ["F", "镜像显示并排的片段"], ["Esc", "关闭播放器"]],
  close: "关闭",
};

const STORED = "footage.language";

export const language = (() => {
  const given = localStorage.getItem(STORED);
  if (given === "en" || given === "zh") return given;
  const first = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) || "en";
  return first.slice(0, 2).toLowerCase();
})();

const WORDS = language === "zh" ? ZH : EN;

export function switchLanguage() {
  localStorage.setItem(STORED, language === "zh" ? "en" : "zh");
  location.reload();
}

export function t(key, values = {}) {
  const text = key.split(".").reduce((found, name) => (found === undefined ? undefined : found[name]), WORDS);
  if (typeof text !== "string") return text ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
