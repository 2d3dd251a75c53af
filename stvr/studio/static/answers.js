// What was found: the list, thumbs, tubes over the picture, lanes under the time; starting, refining and giving up.

import { ask, Fault } from "./api.js";
import { clearBox, wholePicture } from "./box.js";
import { isPlaying, jump, open, pause, play, stay } from "./player.js";
import { blame, boxAt, change, clock, element, onChange, placeBox, state, tell } from "./state.js";

const EVERY = 250; // ms, between two questions how far a search is
const COLOURS = 6;
const colour = (number) => `c${number % COLOURS}`;

export function startAnswers() {
  onChange((part) => {
    if ("search" in part || "chosen" in part || "videos" in part) paintList();
    if ("search" in part || "film" in part || "chosen" in part) paintLanes();
    paintTubes();
  });
}

export async function search(refine = false) {
  if (state.search.state === "running") return;
  if (!state.example && state.film && !refine) {
    pause();
    wholePicture();
  }
  if (!state.example) return blame(new Fault(400, "Open a video and draw a box first."));
  const { video, at, box, track } = state.example;
  try {
    const begun = await ask(`desks/${state.desk}/search`, "POST", { examples: [{ video, at, box, track }], refine });
    change({ search: { ...begun, answers: refine ? state.search.answers : [] }, chosen: -1 });
    tell(refine ? "Searching again, with your thumbs" : "Searching");
    await follow();
  } catch (error) {
    blame(error);
  }
}

// Asks how far the search is until it has ended.
export async function follow() {
  for (;;) {
    const now = await ask(`desks/${state.desk}/search`);
    const running = now.state === "running";
    change({ search: running && !now.answers.length ? { ...now, answers: state.search.answers } : now });
    if (!running) break;
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
  const { search } = state;
  if (search.state === "failed") blame(new Fault(400, search.error));
  tell(summary());
}

export async function cancel() {
  if (state.search.state !== "running") return;
  await ask(`desks/${state.desk}/search`, "DELETE").catch(blame);
}

export function escape() {
  if (state.search.state === "running") cancel();
  else if (state.example) clearBox();
}

export async function judge(number, mark) {
  const answer = state.search.answers[number];
  if (!answer || state.search.state === "running") return;
  const given = answer.mark === mark ? "none" : mark;
  try {
    change({ search: await ask(`desks/${state.desk}/marks/${number}`, "PUT", { mark: given }) });
    tell(given === "none" ? `The thumb of answer ${number + 1} is taken back.` : `Thumb ${given} for answer ${number + 1}. R refines.`);
  } catch (error) {
    blame(error);
  }
}

export async function choose(number, playing = isPlaying()) {
  const answer = state.search.answers[number];
  if (!answer) return;
  try {
    if (answer.video && answer.video !== state.film?.id) await open(answer.video, answer.begin);
    else await jump(answer.begin);
    change({ chosen: number });
    loopChosen();
    if (playing) play();
    if (innerWidth >= 1100) element("answers").children[number]?.scrollIntoView({ block: "nearest" });
    else element("stage").scrollIntoView({ block: "nearest" });
    tell(`Answer ${number + 1}: ${answer.name}, from ${clock(answer.begin)} to ${clock(answer.end)}.`);
  } catch (error) {
    blame(error);
  }
}

export function chooseBeside(step) {
  const count = state.search.answers.length;
  if (count) choose((state.chosen + step + (state.chosen < 0 && step < 0 ? 1 : 0) + count) % count);
}

export function loopChosen() {
  const answer = state.search.answers[state.chosen];
  const here = answer && answer.video === state.film?.id;
  stay(element("loop").checked && here ? { begin: answer.begin, end: answer.end } : null);
}

function summary() {
  const { state: how, answers, failed } = state.search;
  const count = `${answers.length} ${answers.length === 1 ? "answer" : "answers"}`;
  const videos = new Set(answers.map((each) => each.video)).size;
  const left = Object.keys(failed).length;
  const gone = left ? ` ${left} ${left === 1 ? "video" : "videos"} could not be asked: ${Object.values(failed)[0]}` : "";
  if (how === "none") return "";
  if (how === "running") return answers.length ? `${count} so far` : "Searching …";
  if (how === "cancelled") return `Given up; ${count} until then.`;
  if (how === "failed") return "The search failed.";
  return (answers.length ? `${count} in ${videos} ${videos === 1 ? "video" : "videos"}.` : "Nothing was found that does this.") + gone;
}

function paintList() {
  const { search } = state;
  const running = search.state === "running";
  element("summary").textContent = summary();
  element("no-answers").hidden = search.state !== "none";
  element("progress").hidden = !running;
  element("progress").querySelector("progress").value = search.done / Math.max(search.total, 1e-9);
  element("progress").querySelector("span").textContent = `${Math.floor((100 * search.done) / Math.max(search.total, 1e-9))} %`;
  for (const [name, off] of [["search", running], ["refine", running || !search.answers.some((each) => each.mark !== "none")],
    ["export", !search.answers.length]]) document.querySelector(`[data-do=${name}]`).disabled = off;
  document.querySelector("[data-do=cancel]").hidden = !running;
  const focused = document.activeElement?.closest("#answers [data-act]")?.dataset;
  const kept = focused && { act: focused.act, number: focused.number };
  element("answers").replaceChildren(...search.answers.map(card));
  if (kept) document.querySelector(`#answers [data-act="${kept.act}"][data-number="${kept.number}"]`)?.focus({ preventScroll: true });
}

function card(answer) {
  const item = document.createElement("li");
  item.className = colour(answer.number);
  if (answer.number === state.chosen) item.setAttribute("aria-current", "true");
  const middle = (answer.begin + answer.end) / 2;
  const go = button("go", answer.number, "", `Show answer ${answer.number + 1}: ${answer.name}, ${clock(answer.begin)} to ${clock(answer.end)}`);
  go.className = "picture";
  if (answer.video) {
    const picture = Object.assign(document.createElement("img"), { alt: "", loading: "lazy", decoding: "async",
      src: `/api/videos/${answer.video}/still?at=${middle}&height=180` });
    const frame = Object.assign(document.createElement("i"), { className: "frame" });
    placeBox(frame, boxAt(answer.boxes, middle, answer.begin, answer.end));
    go.append(picture, frame);
  }
  const words = document.createElement("div");
  words.className = "words";
  const name = Object.assign(document.createElement("strong"), { textContent: `${answer.number + 1}. ${answer.name}` });
  const when = Object.assign(document.createElement("span"), { className: "note", textContent: `${clock(answer.begin)} – ${clock(answer.end)}` });
  const score = Object.assign(document.createElement("span"), { className: "note", textContent: `score ${answer.score.toFixed(3)}` });
  if (answer.false_alarm != null) score.textContent += ` · by chance ${answer.false_alarm.toPrecision(2)}`;
  const thumbs = document.createElement("div");
  thumbs.className = "thumbs";
  for (const mark of ["up", "down"]) {
    const thumb = button(mark, answer.number, mark, `Thumb ${mark} for answer ${answer.number + 1}`);
    thumb.setAttribute("aria-pressed", String(answer.mark === mark));
    thumbs.append(thumb);
  }
  words.append(name, when, score, thumbs);
  item.append(go, words);
  return item;
}

function button(act, number, icon, label) {
  const made = Object.assign(document.createElement("button"), { type: "button" });
  Object.assign(made.dataset, { act, number });
  made.setAttribute("aria-label", label);
  if (icon) made.innerHTML = `<svg aria-hidden="true"><use href="/static/icons.svg#${icon}"/></svg>`;
  made.addEventListener("click", () => (act === "go" ? choose(number, false) : judge(number, act)));
  return made;
}

function ofThisVideo() {
  return state.film ? state.search.answers.filter((each) => each.video === state.film.id) : [];
}

function paintLanes() {
  const lanes = element("lanes");
  const { film } = state;
  lanes.replaceChildren(...ofThisVideo().map((answer) => {
    const bar = document.createElement("i");
    bar.className = `${colour(answer.number)}${answer.number === state.chosen ? " chosen" : ""}`;
    const share = (seconds) => (100 * (seconds - film.first)) / (film.last - film.first);
    Object.assign(bar.style, { marginLeft: `${share(answer.begin)}%`, width: `${share(answer.end) - share(answer.begin)}%` });
    bar.title = `Answer ${answer.number + 1}`;
    bar.addEventListener("click", () => choose(answer.number));
    return bar;
  }));
}

function paintTubes() {
  const now = (state.seconds + state.until) / 2;
  const tubes = ofThisVideo().flatMap((answer) => {
    const box = boxAt(answer.boxes, now, answer.begin, answer.end);
    if (!box) return [];
    const tube = document.createElement("div");
    tube.className = `tube ${colour(answer.number)}${answer.number === state.chosen ? " chosen" : ""}`;
    tube.dataset.number = answer.number;
    tube.append(Object.assign(document.createElement("b"), { textContent: answer.number + 1 }));
    placeBox(tube, box);
    return [tube];
  });
  element("tubes").replaceChildren(...tubes);
}
