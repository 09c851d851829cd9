//! How a run goes on, for people: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dumprestore::{Event, NodePath, Observer};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, bytes, count, counted, seconds};

/// Where there are no bars, a long phase says this often how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Of each node this many ledger entries are shown; `--json` tells of all.
const LEDGER_SHOWN: u32 = 10;

/// Tells people how a run goes on.
pub(crate) struct Progress {
    console: Arc<Console>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    command: &'static str,
    nodes: HashMap<NodePath, Underway>,
    verifying: Option<ProgressBar>,
    copying: Option<Underway>,
    ledger: HashMap<NodePath, u32>,
}

/// A phase of a node.
struct Underway {
    phase: &'static str,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    pub(crate) fn new(console: Arc<Console>) -> Self {
        Self { console, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, node: &NodePath, phase: &'static str, total: Option<u64>, parts: Option<u64>) {
        let bar = self.console.bars().map(|bars| {
            let bar = bars.add(match total {
                Some(total) => ProgressBar::new(total).with_style(measured()),
                None => ProgressBar::no_length().with_style(unmeasured()),
            });
            bar.set_prefix(format!("{phase} {node}"));
            bar.set_message(parts.map(|parts| counted(parts, "part")).unwrap_or_default());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let underway = Underway { phase, total, bar, said: Instant::now() };
        if let Some(before) = self.state().nodes.insert(node.clone(), underway) {
            before.clear();
        }
    }

    fn advance(&self, node: &NodePath, done: u64, parts: u64) {
        let mut state = self.state();
        let Some(underway) = state.nodes.get_mut(node) else { return };
        if let Some(bar) = &underway.bar {
            bar.set_position(done);
            bar.set_message(counted(parts, "part"));
            return;
        }
        if underway.said.elapsed() < SAY_EVERY {
            return;
        }
        underway.said = Instant::now();
        let of = underway.total.map(|total| format!(" of {}", bytes(total))).unwrap_or_default();
        let phase = underway.phase;
        drop(state);
        self.console.note(format_args!(
            "{phase:<8} {node}: {}{of} so far, {}",
            bytes(done),
            counted(parts, "part")
        ));
    }

    fn end(&self, node: &NodePath, phase: &str, (done, parts): (u64, u64), took: Duration) {
        if let Some(underway) = self.state().nodes.remove(node) {
            underway.clear();
        }
        let rate = match took.as_secs_f64() {
            took if took > 0.05 => format!(", {}/s", bytes((done as f64 / took) as u64)),
            _ => String::new(),
        };
        let line = format!(
            "{phase:<8} {node}: {} in {}, {}{rate}",
            bytes(done),
            counted(parts, "part"),
            seconds(took)
        );
        if done > 0 || parts > 0 { self.console.note(line) } else { self.console.detail(line) }
    }

    fn verifying(&self, done: u64, total: u64) {
        let Some(bars) = self.console.bars() else { return };
        let mut state = self.state();
        let bar = state.verifying.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(total).with_style(measured()));
            bar.set_prefix("verify");
            bar
        });
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }

    fn copying(&self, done: u64, total: u64) {
        let mut state = self.state();
        let underway = state.copying.get_or_insert_with(|| {
            let bar = self.console.bars().map(|bars| {
                let bar = bars.add(ProgressBar::new(total).with_style(measured()));
                bar.set_prefix("copy");
                bar
            });
            Underway { phase: "copy", total: Some(total), bar, said: Instant::now() }
        });
        if let Some(bar) = &underway.bar {
            bar.set_position(done);
        } else if underway.said.elapsed() >= SAY_EVERY {
            underway.said = Instant::now();
            self.console.note(format_args!("copy     {} of {} so far", bytes(done), bytes(total)));
        }
        if done >= total
            && let Some(underway) = state.copying.take()
        {
            underway.clear();
        }
    }

    fn ledger(&self, node: &NodePath, entry: &dumprestore::driver::LedgerEntry) {
        let shown = {
            let mut state = self.state();
            let shown = state.ledger.entry(node.clone()).or_default();
            *shown += 1;
            *shown
        };
        if shown > LEDGER_SHOWN + 1 {
            return;
        }
        if shown > LEDGER_SHOWN {
            let all =
                if self.state().command == "dump" { "`inspect --json` lists" } else { "`--json` tells" };
            return self.console.note(format_args!("  {node}: and more: {all} them"));
        }
        let text = format!("{node}: {}: {}", entry.what, entry.why);
        if entry.degrades {
            self.console.warn(text, None)
        } else {
            self.console.note(format_args!("note: {text}"))
        }
    }

    fn phase(&self, phase: &str) {
        if phase != "verify"
            && let Some(bar) = self.state().verifying.take()
        {
            bar.finish_and_clear();
        }
        match phase {
            // A rehearsal always ends so.
            "roll back" if self.state().command != "rehearse" => self.console.urge("rolling back"),
            _ => self.console.detail(format_args!("{phase} ...")),
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        match event {
            Event::Started { run, command, set } => {
                self.state().command = command;
                self.console.detail(format_args!("{command} of `{set}`, run {run}"));
            }
            Event::Phase { phase } => self.phase(phase),
            Event::NodeStarted { node, phase, bytes, parts } => self.begin(node, phase, *bytes, *parts),
            Event::Progress { node, bytes, parts } => self.advance(node, *bytes, *parts),
            Event::NodeFinished { node, phase, bytes, parts, seconds } => {
                self.end(node, phase, (*bytes, *parts), *seconds);
            }
            Event::Captured { node, pass, parts } => {
                self.console
                    .detail(format_args!("capture  {node}: pass {pass}, {} new or changed", count(*parts)));
            }
            Event::Verifying { done, total } => self.verifying(*done, *total),
            Event::Copying { done, total } => self.copying(*done, *total),
            Event::Cut { attempt, width, checked, references, dangling, outcome } => {
                let width = seconds(*width);
                if *outcome == "unchecked" {
                    return self
                        .console
                        .note(format_args!("cut      {attempt}: {width} wide, no references to check"));
                }
                self.console.note(format_args!(
                    "cut      {attempt}: {width} wide, checked in {}: {}, {} of them dangling: {outcome}",
                    seconds(*checked),
                    counted(*references, "reference"),
                    count(*dangling),
                ));
            }
            Event::Ledger { node, entry } => self.ledger(node, entry),
            Event::Hook { hook, node, program } => {
                let node = node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
                self.console.note(format_args!("hook     {hook}{node}: {program}"));
            }
            Event::HookOutput { hook, node, program, line, .. } => {
                let node = node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
                let program = program.rsplit('/').next().unwrap_or(program);
                self.console.note(format_args!("  {hook}{node} ({program}): {line}"));
            }
            Event::Notice { node, message, hint, .. } => {
                let node = node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
                self.console.warn(format_args!("{node}{message}"), hint.as_deref());
            }
            Event::Recovered { run, outcome } => {
                self.console.urge(&format!("an interrupted restore (run {run}) was {outcome}"));
            }
            Event::Step { node, step } => self.console.detail(format_args!("{node}: {step}")),
            _ => {}
        }
    }
}

impl Underway {
    fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn measured() -> ProgressStyle {
    style("{prefix:24!} {bar:24} {bytes:>10}/{total_bytes:10} {binary_bytes_per_sec:>13} ETA {eta:<4} {msg}")
}

fn unmeasured() -> ProgressStyle {
    style("{prefix:24!} {spinner} {bytes:>10} {binary_bytes_per_sec:>13} {elapsed:<4} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    // A wrong template would only cost the bar its looks.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
