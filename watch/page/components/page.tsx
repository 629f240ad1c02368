import { connection, controls, snapshot } from "../state/store";
import { Alarms } from "./alarms";
import { Controls } from "./controls";
import { FirstLook } from "./firstLook";
import { Header } from "./header";
import { ViewSection } from "./viewSection";

export function Page() {
  return (
    <>
      <a class="skip" href="#views">
        to the views
      </a>
      <Header />
      <main id="views">{snapshot.value === null ? <Opening /> : <Known />}</main>
    </>
  );
}

function Opening() {
  const isOpening = connection.value.state === "opening";
  return (
    <section class="empty">
      <h2>{isOpening ? "Reading the database" : "Nothing is known yet"}</h2>
      <p>
        {isOpening
          ? "The first look comes with the first snapshot."
          : "The page fills by itself as soon as there is an answer."}
      </p>
    </section>
  );
}

function Known() {
  const known = snapshot.value;
  if (known === null) return null;
  const isLive = connection.value.state === "live";
  return (
    <div class={isLive ? "known" : "known is-old"}>
      {known.views.length === 0 ? <NoViews /> : <FirstLook />}
      {known.notes.length > 0 && (
        <section class="notes">
          <h2>Notes</h2>
          <ul>
            {known.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </section>
      )}
      {controls.value !== null && <Controls controls={controls.value} isLive={isLive} />}
      {known.alarms.length > 0 && <Alarms alarms={known.alarms} />}
      {known.views.map((summary) => {
        const detail = known.details.find((candidate) => candidate.view === summary.view);
        return detail && <ViewSection key={summary.view} summary={summary} detail={detail} />;
      })}
    </div>
  );
}

function NoViews() {
  return (
    <section class="empty">
      <h2>No materialized view is here to watch</h2>
      <p>
        Nothing in this database is refreshed or recorded yet. Create a materialized view and name it in the
        stack's settings (<code>views</code>), make the history with <code>npm run migrate</code>, and refresh
        once with <code>npm run refresh</code>. The page shows it by itself.
      </p>
    </section>
  );
}
