// The reader is the scheduler: decides which thread takes the next step of a
// schedule that was tried when the book's tests were run.
"use strict";

function make(kind, className, ...parts) {
  const element = document.createElement(kind);
  if (className) element.className = className;
  element.append(...parts);
  return element;
}

// Return for each state how many schedules lead on from it, and how many of
// them to a wrong outcome. What follows a state comes before it.
function count({ nodes, outcomes }) {
  const counts = [];
  for (const [, , then, ends] of nodes) {
    const after = then.filter((node) => node >= 0).map((node) => counts[node]);
    counts.push(
      ends >= 0
        ? [1, Number(outcomes[ends][1])]
        : after.reduce(([all, bad], [more, worse]) => [all + more, bad + worse], [0, 0]),
    );
  }
  return counts;
}

class Stepper {
  constructor(explorations) {
    this.explorations = explorations;
    this.select = make("select", "", ...explorations.map(({ subject }) => make("option", "", subject)));
    this.threads = make("div", "threads");
    this.turns = make("div", "turns");
    this.shared = make("p", "values");
    this.schedule = make("p", "schedule");
    this.said = make("p", "said");
    this.said.setAttribute("aria-live", "polite");
    this.tools = make("div", "tools");
    this.back = this.button(() => this.go(this.path.slice(0, -1)), "Back");
    this.again = this.button(() => this.go([]), "Start again");
    this.lose = this.button(() => this.loseOn());
    this.other = this.button(() => this.change());
    this.tools.append(this.back, this.again, this.lose, this.other);
    this.element = make(
      "div", "stepper",
      make("h3", "", "Step through it"),
      make("label", "", "You are the scheduler of ", this.select),
      this.threads, this.turns, this.shared, this.schedule, this.said, this.tools,
    );
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "Step through it");
    this.select.addEventListener("change", () => this.open());
    this.element.addEventListener("keydown", (event) => this.press(event));
    this.open();
  }

  button(act, text = "") {
    const button = make("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") act();
    });
    return button;
  }

  // A button that has the focus keeps it when it can do nothing.
  enable(button, can, text = button.textContent) {
    button.setAttribute("aria-disabled", String(!can));
    button.textContent = text;
  }

  // Show the first state of the exploration that is selected.
  open() {
    this.shown = this.explorations[this.select.selectedIndex];
    const { codes, sources, threads } = this.shown;
    this.counts = count(this.shown);
    this.names = codes.map((_, number) => threads[number] ?? `Thread ${number + 1}`);
    this.columns = codes.map((functions, number) => {
      const lines = new Map();
      const code = make("div", "code");
      for (const one of functions) {
        sources[one].forEach((text, line) => {
          const element = make("div", line ? "" : "start", text);
          lines.set(`${one} ${line}`, element);
          code.append(element);
        });
      }
      const button = this.button(() => this.go([...this.path, number]));
      const values = make("p", "values");
      const element = make("div", "thread", make("p", "name", this.names[number]), code, values);
      return { button, lines, values, element };
    });
    this.threads.replaceChildren(...this.columns.map(({ element }) => element));
    this.turns.replaceChildren(...this.columns.map(({ button }) => button));
    this.other.hidden = this.explorations.every(({ losing }) => Boolean(losing) === Boolean(this.shown.losing));
    this.other.textContent = this.shown.losing ? "Try to break the right one" : "Break the wrong one";
    this.lose.hidden = !this.shown.losing;
    this.go([]);
  }

  // Open the first exploration that goes wrong, or the first that does not.
  change() {
    const goesWrong = Boolean(this.shown.losing);
    this.select.selectedIndex = this.explorations.findIndex(({ losing }) => Boolean(losing) !== goesWrong);
    this.open();
  }

  isOnTheWay() {
    const { losing } = this.shown;
    return this.path.length < losing.length && this.path.every((thread, step) => thread === losing[step]);
  }

  loseOn() {
    const taken = this.isOnTheWay() ? this.path.length : 0;
    this.go(this.shown.losing.slice(0, taken + 1));
  }

  // Return the states on the way that *path* takes, the first one included.
  states(path) {
    const { nodes } = this.shown;
    const found = [nodes.length - 1];
    for (const thread of path) found.push(nodes[found.at(-1)][2][thread]);
    return found;
  }

  // Show the state that the steps of the threads in *path* lead to.
  go(path) {
    const { nodes, views, values, losing, threads } = this.shown;
    this.path = path;
    const [now, before] = this.states(path).reverse();
    const [seen, shared, then] = nodes[now];
    this.columns.forEach((column, number) => this.showThread(column, number, views[seen[number]], then[number]));
    const old = before === undefined ? {} : Object.fromEntries(values[nodes[before][1]]);
    this.shared.replaceChildren(
      "Shared: ",
      ...values[shared].map(([name, text]) =>
        make("span", before !== undefined && old[name] !== text ? "changed" : "", `${name} = ${this.named(text)}`)),
    );
    this.shared.hidden = !values[shared].length;
    const taken = threads.length ? path.map((thread) => threads[thread]).join(", ") : path.map((thread) => thread + 1).join(" ");
    this.schedule.textContent = `Schedule: ${taken || "no step yet"}`;
    this.say(now, before);
    this.enable(this.back, path.length > 0);
    this.enable(this.again, path.length > 0);
    if (losing) {
      const isOnTheWay = path.length > 0 && this.isOnTheWay();
      this.lose.textContent = isOnTheWay ? "Next step of the losing schedule" : "Show the losing schedule";
    }
  }

  // Name the thread that holds a lock.
  named(text) {
    return text.replace(/^held by (\d+)$/, (_, number) => `held by ${this.names[number - 1]}`);
  }

  showThread({ button, lines, values }, number, view, then) {
    const [places, own, waits] = view ?? [[], [], false];
    for (const line of lines.values()) {
      line.classList.remove("now", "caller");
      line.removeAttribute("aria-current");
    }
    places.forEach(([one, at], depth) => {
      const line = lines.get(`${one} ${at}`);
      const isNow = depth === places.length - 1;
      line.classList.add(isNow ? "now" : "caller");
      if (isNow) line.setAttribute("aria-current", "step");
    });
    values.replaceChildren(...own.map(([name, text]) => make("span", "", `${name} = ${text}`)));
    const name = this.names[number];
    const can = then >= 0;
    const why = !view ? "has ended" : waits ? "waits" : "goes on later: no such switch was tried";
    this.enable(button, can, can ? `${name}: next step` : `${name} ${why}`);
  }

  // Say what has just happened, and what can still come of it.
  say(now, before) {
    const { nodes, views, sources, outcomes } = this.shown;
    const parts = [];
    if (before !== undefined) {
      const thread = this.path.at(-1);
      const [one, at] = views[nodes[before][0][thread]][0].at(-1) ?? [];
      const line = sources[one]?.[at].trim() ?? "its function";
      const waits = views[nodes[now][0][thread]]?.[2];
      parts.push(`${this.names[thread]} ${waits ? "waits at" : "ran"} `, make("code", "", line));
    }
    const ends = nodes[now][3];
    if (ends >= 0) {
      const [words, isWrong] = outcomes[ends];
      parts.push(make("br"), "The end: ", make("span", isWrong ? "wrong" : "right", words), isWrong ? " (wrong)." : ".");
    } else {
      const [all, bad] = this.counts[now];
      parts.push(make("br"), `From here ${bad.toLocaleString("en")} of ${all.toLocaleString("en")} schedules end wrong.`);
    }
    this.said.replaceChildren(...parts);
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target === this.select) return;
    const button = event.key === "Backspace" ? this.back : this.columns[event.key - 1]?.button;
    if (!button) return;
    event.preventDefault();
    button.click();
  }
}

for (const data of document.querySelectorAll("script.stepper")) {
  data.after(new Stepper(JSON.parse(data.textContent)).element);
}
