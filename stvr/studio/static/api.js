// How the page asks the server: an answer, or a Fault with one line that can be shown.

export class Fault extends Error {
  constructor(status, line, retry = 0) {
    super(line);
    this.status = status;
    this.retry = retry; // seconds after which it may be asked again
  }
}

export async function take(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(0, "The studio does not answer. Is `stvr studio` still running?");
  }
  if (response.ok) return response;
  const line = (await response.text()).slice(0, 400);
  throw new Fault(response.status, line.replace(/^[a-z]+(?= )/, (word) => word[0].toUpperCase() + word.slice(1)), Number(response.headers.get("Retry-After")));
}

export async function ask(path, method = "GET", body = undefined) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  return (await take(`/api/${path}`, options)).json();
}

// An upload that tells how far it is: fetch() does not.
export function upload(file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => tell(event.loaded, event.total);
    request.onload = () => (request.status === 201 ? resolve(JSON.parse(request.responseText))
      : reject(new Fault(request.status, request.responseText.slice(0, 400))));
    request.onerror = () => reject(new Fault(0, "The upload broke off."));
    request.send(file);
  });
}
