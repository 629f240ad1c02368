/** What a local run lets the page do, asked for with the token that came with the snapshot. */
import { signal } from "@preact/signals";
import { TOKEN_HEADER, type Control, type ControlAnswer, type ControlRequest } from "../../contract";
import { formatTime } from "../text/format";
import { controls, serverNowMs } from "./store";

/** The last control that was pressed: its answer, or what kept it from one, with the server's time. */
export const said = signal<{ text: string; isError: boolean } | null>(null);
export const busy = signal<Control | null>(null);

/** Posts to `control/<name>`; what came of it is in `said`. */
export async function ask(control: Control, request: ControlRequest = {}): Promise<void> {
  if (busy.value !== null) return;
  busy.value = control;
  try {
    const { text, isError } = await answerTo(control, request);
    said.value = { text: `${formatTime(serverNowMs.value)} ${text}`, isError };
  } catch {
    said.value = { text: "The server of this page did not answer.", isError: true };
  } finally {
    busy.value = null;
  }
}

async function answerTo(
  control: Control,
  request: ControlRequest,
): Promise<{ text: string; isError: boolean }> {
  const response = await fetch(`control/${control}`, {
    method: "POST",
    headers: { "content-type": "application/json", [TOKEN_HEADER]: controls.value?.token ?? "" },
    body: JSON.stringify(request),
  });
  const answer = (await response.json().catch(() => null)) as ControlAnswer | null;
  if (answer !== null && "done" in answer) return { text: answer.done, isError: false };
  return { text: answer?.error ?? `The server answered with status ${response.status}.`, isError: true };
}
