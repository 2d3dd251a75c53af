// The answers as a file.

import { take } from "./api.js";
import { element, state } from "./state.js";

const NAMES = {
  tubelets: "tubelets.jsonl, as stvr locate", ava: "AVA (CSV)", "ava-detections": "AVA detections (CSV)", "coco-video": "COCO video (JSON)",
  cvat: "CVAT for video (XML)", mot: "MOT Challenge (text)", fiftyone: "FiftyOne (JSON)", webvtt: "WebVTT", csv: "Spreadsheet (CSV)", chapters: "Chapters (WebVTT)", edl: "Edit list (EDL)", otio: "Timeline (OTIO)",
  "contact-sheet": "Contact sheet (PNG)", clips: "Short cuts (mp4)", video: "Video with the boxes drawn in (mp4)",
};

export function startExport(formats) {
  const dialog = element("exporting");
  const form = dialog.querySelector("form");
  form.form.replaceChildren(...formats.map((each) => Object.assign(document.createElement("option"), { value: each, textContent: NAMES[each] ?? each })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    download(form);
  });
  form.querySelector("[value=close]").addEventListener("click", () => dialog.close());
}

export function showExport() {
  if (!state.search.answers.length) return;
  element("exporting").querySelector(".note").textContent = "";
  element("exporting").showModal();
}

async function download(form) {
  const note = form.querySelector(".note");
  note.textContent = "Writing …";
  const fields = new URLSearchParams({ form: form.form.value, label: form.label.value, liked: form.liked.checked });
  try {
    const response = await take(`/api/desks/${state.desk}/export?${fields}`);
    const name = /filename="(.+)"/.exec(response.headers.get("Content-Disposition"))[1];
    const address = URL.createObjectURL(await response.blob());
    const link = Object.assign(document.createElement("a"), { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    note.textContent = [`${name} is written.`, response.headers.get("X-Notes")].filter(Boolean).join(" ");
  } catch (error) {
    note.textContent = error.message;
  }
}
