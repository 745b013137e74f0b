// Shows below the search form which error message was pasted into it, names
// of the reader's own included. Of each message there is its anchor, its words
// on one Python or another, what it means, and its recipes: as MESSAGES in the
// search page, in the index of messages as its text.
"use strict";

(() => {
  const form = document.querySelector("article form.search-form");
  if (!form) return;

  const read = () => [...document.querySelectorAll("div.message")].map(one => [
    one.id,
    [...one.querySelectorAll("p.words :is(code, strong)")].map(words => words.textContent),
    one.querySelector(":scope > p:not([class])").textContent,
    [...one.querySelectorAll("p.quiet a")].map(recipe => [recipe.textContent, recipe.getAttribute("href")]),
  ]);
  const messages = typeof MESSAGES === "undefined" ? read() : MESSAGES;

  const wordsOf = text =>
    new Set((text.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) ?? []).filter(word => !/^\d+$/.test(word)));
  const patternOf = text => new RegExp(
    text.toLowerCase().split("…").map(part => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*?"));
  const nameOf = line => /^[\w.]+(?=:|$)/.exec(line.toLowerCase())?.[0].split(".").pop();
  const entries = messages.map(([anchor, texts, meaning, recipes]) =>
    ({ anchor, texts: texts.map(text => ({ text, words: wordsOf(text), pattern: patternOf(text) })), meaning, recipes }));

  // A word of few messages says more than one of many.
  const counts = new Map();
  for (const { texts } of entries) {
    for (const word of new Set(texts.flatMap(({ words }) => [...words]))) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const weigh = words => [...words].reduce(
    (sum, word) => counts.has(word) ? sum + Math.log(1 + entries.length / counts.get(word)) : sum, 0);

  // How sure it is that the query is this message: nearly all of its words are
  // there, and few of another one; or one is a piece of the other. It is not if
  // they name different errors.
  const sureness = (query, asked, { text, words, pattern }) => {
    const common = weigh(new Set([...words].filter(word => asked.has(word))));
    const covered = common / weigh(words);
    const meant = common / weigh(asked);
    const name = nameOf(text);
    const other = nameOf(query);
    if (text.toLowerCase() === query) return 3;
    if (query.includes(":") && name && other && name !== other) return 0;
    if (asked.size > 2 && text.toLowerCase().includes(query)) return 1 + covered;
    if (other === query.split(".").pop() && other === name && /[a-z]{4}/.test(name)) return 1;
    if (words.size > 2 && pattern.test(query)) return 0.9;
    return covered > 0.6 && meant > 0.5 ? covered * meant : 0;
  };

  const findIn = line => {
    const asked = wordsOf(line);
    if (!weigh(asked)) return [];
    const found = entries
      .map(entry => entry.texts
        .map(one => ({ ...entry, text: one.text, sure: sureness(line, asked, one) }))
        .reduce((best, one) => one.sure > best.sure ? one : best))
      .filter(({ sure }) => sure)
      .sort((one, other) => other.sure - one.sure);
    return found.filter(({ sure }) => sure > found[0].sure * 0.8);
  };

  // The lines of a traceback that may be a message, the last one first: what
  // is not indented, or only by the frame of a group. The browser has put a
  // space in the place of each line's end.
  const linesOf = text => text
    .replace(/\s+\+-[-+]*(?: (?:\d+|\.{3}) -+)?/g, " ")
    .replace(/\s+\|(?=\s)/g, "")
    .replace(/\s(?=(?:\w+\.)*[A-Z]\w+(?::\s|\s{2}|\s*$))/g, "\n")
    .replace(/\s{3,}[^\n]*?(?=\n|\s{2}|$)/g, "\n")
    .split(/\n|\s{2}/)
    .reverse();

  const find = text => {
    const query = text.trim().replace(/\s+/g, " ").toLowerCase();
    const whole = findIn(query);
    if (whole[0]?.sure >= 1) return whole.slice(0, 3);
    const lines = linesOf(text).map(line => line.trim().toLowerCase());
    const [errors, warnings] = [false, true].map(is => lines.filter(line => /warning:/.test(line) === is));
    const found = [...errors, ...warnings, query].flatMap(findIn);
    return found
      .filter(({ anchor }, number) => found.findIndex(one => one.anchor === anchor) === number)
      .slice(0, 3);
  };

  const make = (name, parent, text = "") => {
    const element = parent.appendChild(document.createElement(name));
    element.textContent = text;
    return element;
  };
  const link = (parent, text, address) => { make("a", parent, text).href = address; };

  const list = document.createElement("ul");
  list.className = "messages-found";
  list.setAttribute("aria-label", "Error messages");
  form.after(list);

  const input = form.elements.q;
  const show = () => {
    list.replaceChildren();
    const found = find(input.value);
    list.hidden = !found.length;
    for (const { anchor, text, meaning, recipes } of found) {
      const item = make("li", list);
      link(make("p", item), text, `errors.html#${anchor}`);
      const says = make("p", item, `${meaning} `);
      recipes.forEach(([title, address], number) => {
        says.append(number ? " · " : "See ");
        link(says, title, address);
      });
    }
  };
  input.addEventListener("input", show);
  input.value ||= new URLSearchParams(location.search).get("q") ?? "";
  show();
})();
