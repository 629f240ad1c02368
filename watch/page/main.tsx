/** The page of `npm run watch`: how old every view is, why, and what to do. */
import { render } from "preact";
import { Page } from "./components/page";
import { start } from "./state/store";
import { keepTab } from "./state/tab";

const root = document.getElementById("page");
if (root !== null) {
  render(<Page />, root);
  keepTab();
  start();
}
