//! The command `rollout`: restarts the Workspaces of a kind whose restart is pending, a few at a time.
//!
//! It only asks: by the annotation `notebooks.kubeflow.org/restart-at`, as their users would. The controller replaces the pods.
//!
//! ```text
//! workspaces (list) -> plan (standing of each, order) -> run (pace, a fresh look, the write, those not available again) -> text
//! ```

mod arguments;
mod outage;
mod plan;
mod rate;
mod run;
mod screen;
mod standing;
mod text;
mod workspaces;

use crds::WorkspaceKind;
use kube::Client;
use tokio::sync::mpsc;

use crate::activity::policy::{Policy, why_unprobed};
use crate::api::inventory;
use crate::client::causes;
use crate::config::SettingError;
use crate::config::values::written;
use crate::offline::explain_rules::no_kind;
use crate::shutdown::StopSignal;
pub use arguments::Rollout;
use plan::{Done, plan};
use run::{Run, Stop};
use screen::Screen;
use standing::IdleRule;
use workspaces::Workspaces;

/// How a roll-out ended.
#[derive(Debug, Eq, PartialEq)]
pub enum Ending {
    /// All that was due is restarted and available again.
    Complete,
    /// Some were refused, or are not available again.
    Incomplete,
    /// A signal stopped it.
    Stopped,
    /// Why it could not go on, or its output not be written: a sentence for the user.
    Failed(String),
}

/// Restarts what is due, and prints what it does.
///
/// # Errors
/// A sentence for the user: the Workspaces cannot be read; within, an argument is wrong. Nothing has been changed then.
pub async fn run(
    client: &Client,
    arguments: &Rollout,
    signals: mpsc::Receiver<StopSignal>,
) -> Result<Result<Ending, SettingError>, String> {
    let idle = match inventory::kind(client, &arguments.kind).await? {
        Ok(kind) => idle_rule(&kind, arguments),
        Err(names) => Err(no_kind(&arguments.kind, names.iter().map(String::as_str))),
    };
    let idle = match idle {
        Ok(idle) => idle,
        Err(error) => return Ok(Err(error)),
    };
    let workspaces = Workspaces { client };
    let unreadable = |error| format!("cannot list workspaces: {}", causes(&error));
    let listed = workspaces.list(arguments).await.map_err(unreadable)?;
    let now = workspaces.now().await.map_err(unreadable)?;
    let first = plan(listed, &Done::default(), idle, now);
    let mut screen = Screen::of_process();
    let ending = if arguments.dry_run {
        screen.print(&text::dry_run(&first, arguments, idle, now));
        Ending::Complete
    } else {
        screen.print(&text::header(arguments, idle, first.restarts.len()));
        let mut run = Run::new(arguments, workspaces, idle, signals, &mut screen);
        let ended = run.restart_all(first).await;
        let is_complete = run.tally.away.is_empty() && run.tally.refused.is_empty();
        let summary = run.tally.summary(arguments);
        screen.print(&summary);
        ending(ended, is_complete, arguments, &mut screen)
    };
    match screen.failure() {
        Some(error) => Ok(Ok(Ending::Failed(format!("standard output: {error}")))),
        None => Ok(Ok(ending)),
    }
}

fn ending(ended: Result<(), Stop>, is_complete: bool, arguments: &Rollout, screen: &mut Screen) -> Ending {
    match ended {
        Ok(()) if is_complete => Ending::Complete,
        Ok(()) => Ending::Incomplete,
        Err(Stop::Signal) => {
            screen.print("stopped by a signal\n");
            Ending::Stopped
        }
        Err(Stop::NotAvailable) => {
            let deadline = written(arguments.progress_deadline);
            screen.print(&format!(
                "stopped: no restarted Workspace became available for {deadline} (--progress-deadline)\n"
            ));
            Ending::Incomplete
        }
        Err(Stop::Refused(why)) => Ending::Failed(format!("stopped, one restart after the other is refused: {why}")),
        Err(Stop::Unanswered(why)) => Ending::Failed(format!("stopped, the API server gives no answer: {why}")),
    }
}

/// Which Workspaces count as idle, where only those are restarted. Of a kind without a probe that is known of none.
fn idle_rule(kind: &WorkspaceKind, arguments: &Rollout) -> Result<Option<IdleRule>, SettingError> {
    let Some(at_least) = arguments.idle_for else { return Ok(None) };
    let (name, why) = (&arguments.kind, why_unprobed(&kind.spec));
    let policy = Policy::of(&kind.spec).ok_or_else(|| SettingError {
        name: "--only-idle".to_owned(),
        value: None,
        rule: format!("it is not known which Workspaces of WorkspaceKind {name} are idle: {why}"),
    })?;
    Ok(Some(IdleRule { at_least, interval: policy.interval }))
}
