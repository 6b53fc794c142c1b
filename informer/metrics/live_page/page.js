"use strict";
// Replaces what has changed by what the process shows now. An element with the keyboard's focus stays as it is.
const update = (shown, next) => {
  if (!next || shown.isEqualNode(next)) return;
  if (!shown.contains(document.activeElement)) {
    shown.replaceWith(next);
    return;
  }
  const [here, there] = [[...shown.children], [...next.children]];
  if (here.length === there.length && here.every((child, at) => child.id === there[at].id)) {
    here.forEach((child, at) => update(child, there[at]));
  }
};
const box = document.getElementById("live");
const message = document.getElementById("message");
const refresh = async () => {
  if (box.checked && !document.hidden) {
    let text = "";
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelectorAll("[data-live]").forEach((shown) => update(shown, page.getElementById(shown.id)));
    } catch {
      text = "Not up to date: the process does not answer.";
    }
    if (message.textContent !== text) message.textContent = text;
  }
  setTimeout(refresh, 2000);
};
if (box) {
  box.closest("p").hidden = false;
  setTimeout(refresh, 2000);
}
