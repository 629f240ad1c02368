import { useEffect, useRef, useState } from "preact/hooks";

type State = "copy" | "copied" | "select";

/** Copies a text; where the browser forbids it, selects it so that the keyboard can. */
export function Remedy({ text, of }: { text: string; of: string }) {
  const [state, setState] = useState<State>("copy");
  const code = useRef<HTMLElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const copy = async () => {
    const done = (await copiedBy(text)) || copiedBySelection(code.current);
    setState(done ? "copied" : "select");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setState("copy"), 2_000);
  };
  return (
    <span class="remedy">
      <code ref={code}>{text}</code>
      <button type="button" class="copy" onClick={() => void copy()} aria-label={`copy the remedy for ${of}`}>
        {state === "select" ? "press Ctrl C" : state}
      </button>
      <span class="unseen" role="status">
        {state === "copied" ? "copied" : ""}
      </span>
    </span>
  );
}

/** The clipboard is there on https and loopback only, and may be forbidden. */
async function copiedBy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The older way; leaves the text selected. */
function copiedBySelection(element: HTMLElement | null): boolean {
  const selection = getSelection();
  if (element === null || selection === null) return false;
  selection.selectAllChildren(element);
  return document.execCommand("copy");
}
