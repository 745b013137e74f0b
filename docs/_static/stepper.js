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

// Return of each value that differs what it was and what it is.
function changed(before, after) {
  const [old, now] = [new Map(before), new Map(after)];
  return new Map(
    [...new Set([...old.keys(), ...now.keys()])]
      .filter((name) => old.get(name) !== now.get(name))
      .map((name) => [name, [old.get(name), now.get(name)]]),
  );
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
    const last = before === undefined ? undefined : this.lastStep(now, before);
    this.columns.forEach((column, number) =>
      this.showThread(column, number, views[seen[number]], then[number], last?.thread === number ? last : undefined));
    this.shared.replaceChildren("Shared: ", ...this.show(values[shared], last?.shared, `, ${this.names[last?.thread]}`));
    this.shared.hidden = !values[shared].length;
    const taken = threads.length ? path.map((thread) => threads[thread]).join(", ") : path.map((thread) => thread + 1).join(" ");
    this.schedule.textContent = `Schedule: ${taken || "no step yet"}`;
    this.say(now, last);
    this.enable(this.back, path.length > 0);
    this.enable(this.again, path.length > 0);
    if (losing) {
      const isOnTheWay = path.length > 0 && this.isOnTheWay();
      this.lose.textContent = isOnTheWay ? "Next step of the losing schedule" : "Show the losing schedule";
    }
  }

  // Return what the step from one state to the next was: whose, of which line,
  // and what each value was before that it has changed.
  lastStep(now, before) {
    const { nodes, views, values } = this.shown;
    const thread = this.path.at(-1);
    const [places, own] = views[nodes[before][0][thread]];
    const after = views[nodes[now][0][thread]];
    return {
      thread,
      place: places.at(-1),
      waits: after?.[2],
      own: changed(own, after?.[1] ?? []),
      shared: changed(values[nodes[before][1]], values[nodes[now][1]]),
    };
  }

  // Return an element for each value, marked if the last step has changed it.
  show(values, changes, by) {
    return values.map(([name, text]) => {
      const element = make("span", "", `${name} = ${this.named(text)}`);
      if (changes?.has(name)) {
        element.className = "changed";
        const [old] = changes.get(name);
        if (old !== undefined) element.append(make("small", "", ` (was ${this.named(old)}${by})`));
      }
      return element;
    });
  }

  // Name the thread that holds a lock.
  named(text) {
    return text.replace(/^held by (\d+)$/, (_, number) => `held by ${this.names[number - 1]}`);
  }

  showThread({ button, lines, values, element }, number, view, then, last) {
    const [places, own, waits] = view ?? [[], [], false];
    for (const line of lines.values()) {
      line.classList.remove("now", "caller", "ran");
      line.removeAttribute("aria-current");
    }
    places.forEach(([one, at], depth) => {
      const line = lines.get(`${one} ${at}`);
      const isNow = depth === places.length - 1;
      line.classList.add(isNow ? "now" : "caller");
      if (isNow) line.setAttribute("aria-current", "step");
    });
    if (last?.place) lines.get(last.place.join(" "))?.classList.add("ran");
    values.replaceChildren(...this.show(own, last?.own, ""));
    const name = this.names[number];
    element.classList.toggle("last", last !== undefined);
    element.firstChild.textContent = last ? `${name}: the last step` : name;
    const can = then >= 0;
    const why = !view ? "has ended" : waits ? "waits" : "goes on later: no such switch was tried";
    this.enable(button, can, can ? `${name}: next step` : `${name} ${why}`);
  }

  // Say what has just happened, and what can still come of it.
  say(now, last) {
    const { nodes, sources, outcomes } = this.shown;
    const parts = [];
    if (last) {
      const [one, at] = last.place ?? [];
      const line = sources[one]?.[at].trim() ?? "its function";
      parts.push(`${this.names[last.thread]} ${last.waits ? "waits at" : "ran"} `, make("code", "", line));
      // What belonged to a call that has returned is no news.
      const changes = [...last.own, ...last.shared]
        .filter(([, [, text]]) => text !== undefined)
        .map(([name, [old, text]]) =>
          `${name} ${old === undefined ? "is" : `went from ${this.named(old)} to`} ${this.named(text)}`);
      parts.push(changes.length ? `, and ${changes.join(", ")}.` : ".");
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
