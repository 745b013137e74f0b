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
  const entries = messages.map(([anchor, texts, meaning, recipes]) =>
    ({ anchor, texts: texts.map(text => ({ text, words: wordsOf(text) })), meaning, recipes }));

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
  // there, and few of another one; or the query is a piece of it.
  const sureness = (query, asked, { text, words }) => {
    const common = weigh(new Set([...words].filter(word => asked.has(word))));
    const covered = common / weigh(words);
    const meant = common / weigh(asked);
    const name = text.split(":")[0].split(".").pop().toLowerCase();
    if (text.toLowerCase() === query) return 3;
    if (asked.size > 2 && text.toLowerCase().includes(query)) return 1 + covered;
    if (query.split(".").pop() === name && /[a-z]{4}/.test(name)) return 1;
    return covered > 0.6 && meant > 0.5 ? covered * meant : 0;
  };

  const find = query => {
    const asked = wordsOf(query);
    if (!weigh(asked)) return [];
    const found = entries
      .map(entry => entry.texts
        .map(one => ({ ...entry, text: one.text, sure: sureness(query, asked, one) }))
        .reduce((best, one) => one.sure > best.sure ? one : best))
      .filter(({ sure }) => sure)
      .sort((one, other) => other.sure - one.sure);
    return found.filter(({ sure }) => sure > found[0].sure * 0.8).slice(0, 3);
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
    const found = find(input.value.trim().toLowerCase().replace(/\s+/g, " "));
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
