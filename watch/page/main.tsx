/** The page of `npm run watch`: how old every view is, why, and what to do. */
import { render } from "preact";
import { ROOT_ID } from "../contract";
import { Page } from "./components/page";
import { start } from "./state/store";
import { keepTab } from "./state/tab";
import "./styles.css";

const root = document.getElementById(ROOT_ID);
if (root !== null) {
  render(<Page />, root);
  keepTab();
  start();
}
