// What the page knows, in one place; who draws it is called after each change.

export const state = {
  desk: "",
  videos: [],
  film: null, // the open video, as /api/videos/ID says
  seconds: 0, // of the picture that is shown
  until: 0,
  example: null, // {video, at, box, track, followed}
  search: { state: "none", answers: [], done: 0, total: 1, failed: {}, error: "" },
  chosen: -1, // the answer that is looked at
};

const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

export function change(part) {
  Object.assign(state, part);
  for (const listener of listeners) listener(part);
}

export const element = (id) => document.getElementById(id);

export function tell(line) {
  element("said").textContent = line;
}

export function blame(error) {
  if (error.name === "AbortError") return;
  const place = element("fault");
  place.querySelector("span").textContent = error.message;
  place.hidden = false;
  if (!(error.status >= 0)) console.error(error);
}

export function clock(seconds) {
  const minutes = Math.floor(Math.max(seconds, 0) / 60);
  return `${minutes}:${(Math.max(seconds, 0) - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

// The box of a track [{seconds, box}] at a time, on straight lines between; null before `begin` and after `end`.
export function boxAt(track, seconds, begin, end) {
  if (seconds < begin - 1e-6 || seconds > end + 1e-6) return null;
  const after = track.findIndex((each) => each.seconds > seconds);
  if (after === 0) return track[0].box;
  if (after === -1) return track[track.length - 1].box;
  const [one, other] = [track[after - 1], track[after]];
  const share = (seconds - one.seconds) / (other.seconds - one.seconds);
  return one.box.map((edge, index) => edge + share * (other.box[index] - edge));
}

export function placeBox(node, box) {
  const [left, top, right, bottom] = box.map((edge) => 100 * edge);
  Object.assign(node.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
}
