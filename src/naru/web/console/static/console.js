// What the pages cannot do by themselves: copy, dialogs, choices in tables, times of this browser's zone. Every page
// works without it.
"use strict";

const dialog = () => document.getElementById("dialog");

// Copy and download.

async function copy(button) {
  const words = document.body.dataset;
  let told = words.copied;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    told = copyByHand(button.dataset.copy) ? words.copied : words.notCopied;
  }
  button.classList.toggle("done", told === words.copied);
  tell(told, told === words.copied ? "done" : "failed");
  setTimeout(() => button.classList.remove("done"), 1500);
}

// Without TLS browsers have no clipboard but this.
function copyByHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr";
  const host = dialog()?.open ? dialog() : document.body;
  host.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

function download(button) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([button.dataset.text], { type: "text/plain" }));
  link.download = button.dataset.download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Toasts.

function tell(text, kind) {
  const toast = document.createElement("div");
  toast.className = `toast ${kind}`;
  const words = document.createElement("p");
  words.textContent = text;
  toast.append(words);
  document.getElementById("toasts").append(toast);
  fade(toast, 2500);
}

function fade(toast, milliseconds) {
  setTimeout(() => { if (!toast.matches(":hover, :focus-within")) toast.remove(); else fade(toast, milliseconds); }, milliseconds);
}

// One that offers to undo stays longer; what it offers is in the trash after that.
function fadeAll() {
  for (const toast of document.querySelectorAll("#toasts .toast:not(.failed)")) fade(toast, toast.matches(".lasting") ? 20000 : 6000);
}

// Times: how long ago is the server's; the title tells the time of this browser's zone.

function localTimes(root) {
  const form = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });
  for (const time of root.querySelectorAll("time[datetime]")) time.title = form.format(new Date(time.dateTime));
}

// Forms: the rule of a name as it is typed; a name to be typed before something is deleted.

function checkRule(field) {
  const hint = document.getElementById(field.getAttribute("aria-describedby").split(" ")[0]);
  const wrong = field.value !== "" && field.validity.patternMismatch;
  field.setAttribute("aria-invalid", wrong);
  field.setCustomValidity("");
  if (!hint) return;
  hint.dataset.text ??= hint.textContent;
  hint.textContent = wrong ? field.dataset.rule : hint.dataset.text;
  hint.classList.toggle("wrong", wrong);
  hint.setAttribute("aria-live", "polite");
}

function checkMust(field) {
  const button = field.form.querySelector("footer .danger");
  if (button) button.disabled = field.value !== field.dataset.must;
}

// Choices in a table.

function checkChoice(form) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const chosen = boxes.filter((box) => box.checked).length;
  for (const button of form.querySelectorAll("[data-needs-choice]")) button.disabled = chosen === 0;
  for (const all of form.querySelectorAll("[data-all]")) {
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  }
  for (const count of form.querySelectorAll("[data-chosen-count]")) count.textContent = chosen ? `${chosen} / ${boxes.length}` : "";
}

function prepare(root) {
  localTimes(root);
  for (const form of root.querySelectorAll("form[data-choose]")) checkChoice(form);
  for (const field of root.querySelectorAll("input[data-must]")) checkMust(field);
  for (const field of root.querySelectorAll("input[data-rule]")) if (field.value) checkRule(field);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-copy], [data-download], [data-close], [data-dismiss]");
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (event.target === dialog()) dialog().close();
  if (!target) return;
  if (target.dataset.copy !== undefined) copy(target);
  else if (target.dataset.download !== undefined) download(target);
  else if (target.dataset.close !== undefined) dialog().close();
  else target.closest(".toast").remove();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// What was wrong is told until it is typed anew.
function forgetFault(field) {
  document.getElementById(`e-${field.name}`)?.remove();
  field.removeAttribute("aria-invalid");
}

document.addEventListener("input", (event) => {
  if (event.target.getAttribute("aria-invalid") === "true") forgetFault(event.target);
  if (event.target.dataset.rule !== undefined) checkRule(event.target);
  if (event.target.dataset.must !== undefined) checkMust(event.target);
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-choose]");
  if (!form) return;
  if (event.target.dataset.all !== undefined) {
    for (const box of form.querySelectorAll("tbody input[type=checkbox]")) box.checked = event.target.checked;
  }
  checkChoice(form);
});

document.addEventListener("htmx:afterSwap", (event) => {
  const target = event.detail.target;
  if (target.id === "dialog-body" && target.childElementCount && !dialog().open) dialog().showModal();
  fadeAll();
});
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
// A part that asks for itself again: what cannot be had now leaves it as it is, and is told once.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.dataset?.poll !== undefined && event.detail.xhr.status >= 400) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:sendError", () => {
  const told = [...document.querySelectorAll("#toasts .toast.failed")].some((one) => one.textContent === document.body.dataset.offline);
  if (!told) tell(document.body.dataset.offline, "failed");
});

document.addEventListener("DOMContentLoaded", () => {
  prepare(document);
  dialog()?.addEventListener("close", () => { document.getElementById("dialog-body").replaceChildren(); });
  fadeAll();
});
