// The page of run.browse(). It asks the desk (browse/desk.py) and shows the answers.
// What a row holds becomes text nodes only: no HTML is ever parsed.

const TAGS = new Set(
  "article section p ul li blockquote table thead tbody tr th td code strong small br ins del details summary".split(" "),
);
const ATTRIBUTES = new Set(["class", "dir", "scope", "aria-label"]);
const FILTERS = [
  ["fate", "rows", [["", "all"], ["kept", "kept"], ["rejected", "rejected"]]],
  ["reason", "reason"], ["strategy", "strategy"], ["tool", "tool"], ["seed", "seed"],
  ["outcome", "outcome"],
  ["review", "review", [["", "any"], ["none", "not yet judged"], ["keep", "keep"], ["drop", "drop"], ["flag", "flag"]]],
];
const REVIEWS = ["keep", "drop", "flag"];
const PAGE = 20;

function element(name, attributes, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  for (const node of inside) if (node !== null && node !== "") made.append(node);
  return made;
}

// The tree of markup.py as elements; a tag or attribute that is none of ours is left out.
function build(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [name, attributes, ...inside] = node;
  const made = TAGS.has(name) ? document.createElement(name) : document.createDocumentFragment();
  for (const [key, value] of Object.entries(attributes)) {
    if (ATTRIBUTES.has(key) && made.setAttribute) made.setAttribute(key, value);
  }
  for (const child of inside) made.append(build(child));
  return made;
}

// Asks over the widget's messages. Only the last question of a kind is answered, but every
// judgement is.
function asker(model) {
  const from = Math.random().toString(36).slice(2);
  const waiting = new Map(); // what is done with the answer, by the question's number
  const last = new Map(); // the number of the last question, by what it asks
  let number = 0;
  const heard = (message) => {
    if (message.to !== from) return;
    const then = waiting.get(message.number);
    waiting.delete(message.number);
    if (then) then(message);
  };
  model.on("msg:custom", heard);
  const ask = (question, then) => {
    number += 1;
    if (question.ask !== "judge") waiting.delete(last.get(question.ask));
    last.set(question.ask, number);
    waiting.set(number, then);
    model.send({ ...question, number, from });
  };
  return [ask, () => model.off("msg:custom", heard)];
}

function render({ model, el }) {
  const [ask, stop] = asker(model);
  const page = { query: {}, cursor: 0, before: [], rows: [], next: null };
  let open = null; // the row that is shown: {position, judgement}

  const told = element("p", { class: "told", role: "status" });
  const problem = element("p", { class: "bad", role: "alert", hidden: true });
  const list = element("ul", { class: "rows", "aria-label": "rows" });
  const back = element("button", { type: "button", onclick: () => turn(-1) }, "← back");
  const on = element("button", { type: "button", onclick: () => turn(1) }, "more →");
  const shown = element("div", { class: "shown" }, element("p", {}, "Choose a row to read it."));
  const controls = new Map(FILTERS.map(([name, label, choices]) => [name, filter(name, label, choices)]));
  const search = element("input", { type: "search", placeholder: "words, an id, a value …", onchange: look, oninput: soon });

  el.append(
    element("section", { class: "trajgen trajgen-browse", "data-lm-suppress-shortcuts": "true", "aria-label": "Rows of a run", onkeydown: press },
      element("div", { class: "filters" },
        ...FILTERS.map(([name, label]) => element("label", {}, label, controls.get(name))),
        element("label", { class: "wide" }, "search", search),
        element("button", { type: "button", onclick: reset }, "clear")),
      problem,
      element("div", { class: "halves" },
        element("div", { class: "left" }, told, list, element("p", { class: "turn" }, back, on)),
        shown)),
  );

  function filter(name, label, choices = [["", "any"]]) {
    return element("select", { name, "aria-label": label, onchange: look },
      ...choices.map(([value, text]) => element("option", { value }, text)));
  }

  let timer = null;
  function soon() {
    clearTimeout(timer);
    timer = setTimeout(look, 400);
  }

  function reset() {
    for (const control of controls.values()) control.value = "";
    search.value = "";
    look();
  }

  function look() {
    clearTimeout(timer);
    const query = { text: search.value.trim() };
    for (const [name, control] of controls) query[name] = control.value;
    if (JSON.stringify(query) === JSON.stringify(page.query)) return;
    Object.assign(page, { query, cursor: 0, before: [] });
    fetchRows();
  }

  function turn(step) {
    if (step > 0) page.before.push(page.cursor);
    page.cursor = step > 0 ? page.next : page.before.pop();
    fetchRows();
  }

  function fetchRows() {
    page.rows = [];
    list.replaceChildren();
    told.textContent = "Looking …";
    goOn(page.cursor);
  }

  // A search answers in parts, so that a new filter does not have to wait for it.
  function goOn(cursor) {
    const question = { ask: "page", query: page.query, cursor, room: PAGE - page.rows.length };
    ask(question, (answer) => {
      if (failed(answer)) return;
      for (const row of answer.rows) {
        page.rows.push(row);
        list.append(line(row));
      }
      page.next = answer.next;
      told.textContent = count(answer);
      back.disabled = page.before.length === 0;
      on.disabled = answer.next === null;
      if (page.rows.length < PAGE && answer.next !== null) goOn(answer.next);
    });
  }

  function count(answer) {
    const n = (value) => value.toLocaleString("en");
    if (answer.all === 0) return "No row is committed yet.";
    if (answer.searched) {
      const seen = `looked through ${n(answer.seen)} of ${n(answer.of)}`;
      const found = page.rows.length ? `${page.rows.length} rows here` : answer.next === null ? "No row" : "None yet";
      return `${found}; ${seen}`;
    }
    if (answer.of === 0) return `No row of ${n(answer.all)}`;
    return `${n(page.cursor + 1)} to ${n(answer.seen)} of ${n(answer.of)} rows`;
  }

  function line(row) {
    const fate = row.kept ? `${row.outcome} · kept` : `rejected: ${row.reasons.join(", ")}`;
    const mark = element("strong", { class: "mark" }, row.judgement ? row.judgement.review : "");
    const button = element("button", { type: "button", class: row.kept ? "row" : "row no", onclick: () => read(row) },
      mark,
      element("span", { class: "opening", dir: "auto" }, row.opening || "(nothing is said)"),
      element("span", { class: "quiet" }, `${fate} · ${row.strategy} · ${row.calls} calls`));
    const made = element("li", { "data-id": row.id }, button);
    row.made = made;
    if (open && open.id === row.id) choose(row);
    return made;
  }

  function choose(row) {
    for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    row.made.firstChild.setAttribute("aria-current", "true");
  }

  function read(row) {
    choose(row);
    ask({ ask: "open", position: row.position }, (answer) => {
      if (failed(answer)) return;
      open = { id: row.id, position: row.position, row, judgement: answer.judgement };
      shown.replaceChildren(desk(), build(answer.tree));
      shown.scrollTop = 0;
      said(answer.judgement);
    });
  }

  function desk() {
    open.buttons = REVIEWS.map((review) =>
      element("button", { type: "button", class: review, "aria-pressed": "false", title: `${review} (${review[0]})`, onclick: () => judge(review) }, review));
    open.note = element("input", { type: "text", placeholder: "note", "aria-label": "note", maxlength: 10000, onchange: renote });
    open.who = element("span", { class: "quiet", role: "status" });
    return element("div", { class: "judge" }, ...open.buttons, open.note, open.who);
  }

  // The same button again takes the judgement back.
  function judge(review) {
    const again = open.judgement && open.judgement.review === review;
    put(again ? null : review);
  }

  function renote() {
    if (open.judgement) put(open.judgement.review);
  }

  function put(review) {
    const judged = open;
    ask({ ask: "judge", position: judged.position, review, note: judged.note.value }, (answer) => {
      if (failed(answer)) return;
      judged.judgement = answer.judgement;
      judged.row.judgement = answer.judgement;
      judged.row.made.querySelector(".mark").textContent = answer.judgement ? answer.judgement.review : "";
      if (judged === open) said(answer.judgement);
    });
  }

  function said(judgement) {
    for (const button of open.buttons) {
      button.setAttribute("aria-pressed", String(Boolean(judgement) && button.textContent === judgement.review));
    }
    if (judgement) open.note.value = judgement.note;
    open.who.textContent = judgement ? `${judgement.review} by ${judgement.by}, ${judgement.at}` : "not judged yet";
  }

  // Keys work where nothing is typed: k, d, f judge; arrows go from row to row.
  function press(event) {
    event.stopPropagation();
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const review = REVIEWS.find((word) => word[0] === event.key);
    if (review && open) judge(review);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") step(event.key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  function step(by) {
    const at = page.rows.findIndex((row) => open && row.id === open.id);
    const row = page.rows[at < 0 ? 0 : at + by];
    if (row) {
      row.made.firstChild.focus();
      read(row);
    }
  }

  function failed(answer) {
    problem.hidden = !answer.problem;
    problem.textContent = answer.problem || "";
    if (answer.problem) told.textContent = "";
    return Boolean(answer.problem);
  }

  fetchRows();
  ask({ ask: "choices" }, (answer) => {
    if (failed(answer)) return;
    for (const [name, values] of Object.entries(answer.choices)) {
      for (const [value, shown, rows] of values) {
        const text = rows ? `${shown} (${rows.toLocaleString("en")})` : shown;
        controls.get(name).append(element("option", { value }, text));
      }
    }
  });
  return stop;
}

export default { render };
