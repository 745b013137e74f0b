// A copy button on every block of code. Prompts and output are not copied:
// Pygments marks them (.gp; .go, .gt, .gr), so no pattern has to guess.
"use strict";

const PROMPT = ".gp";
const OUTPUT = ".go, .gt, .gr, .gh, .ge, .gs";
const MARK = "\0";

// Return what the reader wants from a block: the code alone.
function codeOf(pre) {
  const clone = pre.cloneNode(true);
  for (const node of clone.querySelectorAll(".linenos")) node.remove();
  if (clone.querySelector(PROMPT)) {
    for (const node of clone.querySelectorAll(PROMPT)) node.textContent = MARK;
    for (const node of clone.querySelectorAll(OUTPUT)) {
      node.textContent = node.textContent.replace(/[^\n]/g, "");
    }
    clone.textContent = clone.textContent
      .split("\n")
      .filter((line) => line.startsWith(MARK))
      .map((line) => line.slice(MARK.length))
      .join("\n");
  }
  return clone.textContent.replace(/\n*$/, "\n");
}

// Pages opened from a file, or over http, have no clipboard of their own.
async function copy(text) {
  if (navigator.clipboard) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // Not allowed here: try the old way.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not allow copying");
}

function addButton(pre, status) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await copy(codeOf(pre));
    } catch {
      said = "Not copied";
    }
    button.focus();
    button.textContent = status.textContent = said;
    setTimeout(() => {
      button.textContent = "Copy";
      status.textContent = "";
    }, 2000);
  });
  pre.parentElement.append(button);
}

function addButtons() {
  const status = document.createElement("p");
  status.className = "visually-hidden";
  status.setAttribute("aria-live", "polite");
  document.body.append(status);
  for (const pre of document.querySelectorAll("div.highlight > pre")) {
    if (!pre.closest(".highlight-text")) addButton(pre, status);
  }
}

// Furo leaves these parts of the page without a name, or without a role.
function nameParts() {
  const name = (part, label) => document.querySelector(part)?.setAttribute("aria-label", label);
  name(".sidebar-drawer", "Chapters");
  name(".toc-drawer", "On this page");
  name(".content-icon-container", "Page tools");
  document.querySelector(".content-icon-container")?.setAttribute("role", "navigation");
}

addButtons();
nameParts();
