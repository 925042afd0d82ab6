// Login: a token once, kept by the browser in a cookie that no script can read.

import { logIn } from "../api.js";
import { draw, h } from "../dom.js";
import { failure } from "../parts.js";

export function show(place, page) {
  page.title("Log in");
  const state = { token: "", error: null, busy: false };

  async function submit(event) {
    event.preventDefault();
    Object.assign(state, { busy: true, error: null });
    redraw();
    try {
      await logIn(state.token);
      location.hash = page.query.to?.startsWith("#/") ? page.query.to : "#/";
    } catch (error) {
      Object.assign(state, { busy: false, error });
      redraw();
    }
  }

  function redraw() {
    draw(
      place,
      h("h1", {}, "Log in"),
      h(
        "form",
        { class: "card login", onsubmit: submit },
        h("p", {}, "This server asks for a token. Whoever started ", h("code", {}, "rsq-pipe serve"), " has it."),
        h(
          "label",
          { class: "field" },
          h("span", {}, "Token"),
          h("input", {
            type: "password",
            autocomplete: "current-password",
            value: state.token,
            oninput: (event) => (state.token = event.target.value),
            made: (node) => node.focus(),
          }),
        ),
        state.error ? failure(state.error) : null,
        h("button", { type: "submit", class: "main", disabled: state.busy }, "Log in"),
      ),
    );
  }

  redraw();
}
