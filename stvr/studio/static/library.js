// The videos one can open: those of the library, and those uploaded.

import { upload } from "./api.js";
import { open } from "./player.js";
import { blame, change, clock, element, onChange, state, tell } from "./state.js";

const MOST = 500; // in the list at once
let mostBytes = Infinity;

export function startLibrary(library) {
  mostBytes = library.most_upload_bytes;
  element("title").textContent = library.title;
  element("filter").addEventListener("input", paint);
  element("upload").addEventListener("change", (event) => take(event.target.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  onChange((part) => ("videos" in part || "film" in part) && paint());
  change({ videos: library.videos });
}

async function take(file) {
  if (!file) return;
  const bar = element("uploading");
  try {
    if (file.size > mostBytes) throw new Error(`${file.name} is larger than ${Math.round(mostBytes / 2 ** 20)} MB.`);
    bar.hidden = false;
    tell(`Uploading ${file.name}`);
    const video = await upload(file, (done, total) => Object.assign(bar, { value: done, max: total }));
    change({ videos: [video, ...state.videos.filter((each) => each.id !== video.id)] });
    tell(`${video.name} is uploaded.`);
    await open(video.id);
  } catch (error) {
    blame(error);
  } finally {
    bar.hidden = true;
    bar.removeAttribute("value");
    element("upload").value = "";
  }
}

function paint() {
  const part = element("filter").value.trim().toLowerCase();
  const shown = state.videos.filter((each) => each.name.toLowerCase().includes(part));
  element("videos").replaceChildren(...shown.slice(0, MOST).map(line));
  const nothing = element("no-videos");
  nothing.hidden = shown.length > 0 && shown.length <= MOST;
  nothing.textContent = shown.length ? `${shown.length - MOST} more; filter by name.` : state.videos.length ? `No video is called like “${part}”.` : "The library is empty. Upload a video.";
}

function line(video) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  if (state.film?.id === video.id) button.setAttribute("aria-current", "true");
  const picture = Object.assign(document.createElement("img"), { alt: "", loading: "lazy", decoding: "async",
    src: `/api/videos/${video.id}/still?at=${video.seconds ? video.seconds / 2 : 1}&height=90` });
  picture.addEventListener("error", () => picture.classList.add("broken"));
  const name = Object.assign(document.createElement("span"), { className: "name", textContent: video.name });
  const facts = [video.seconds ? clock(video.seconds) : "", video.uploaded ? "uploaded" : "", video.doubt ? "doubtful" : ""];
  const more = Object.assign(document.createElement("span"), { className: "note", textContent: facts.filter(Boolean).join(" · ") });
  button.append(picture, name, more);
  button.title = video.doubt || video.name;
  button.addEventListener("click", async () => {
    await open(video.id).catch(blame);
    if (innerWidth < 1100) element("stage").scrollIntoView({ block: "nearest" });
  });
  item.append(button);
  return item;
}
