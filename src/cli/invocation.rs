//! What the command line asks for.

use std::path::PathBuf;

use crate::check::Check;
use crate::cleanup::Cleanup;
use crate::config::Settings;
use crate::hand_back::HandBack;
use crate::offline::explain_rules::ExplainRules;
use crate::offline::migrate::Migrate;
use crate::offline::render::Render;
use crate::offline::validate::Validate;
use crate::rollout::Rollout;

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// Run the controller until it is stopped.
    Run(Box<Settings>),
    /// Print the CRDs, or write them into a directory.
    Crds {
        /// The directory; `None` is the standard output.
        dir: Option<PathBuf>,
    },
    /// Check files without a cluster.
    Validate(Box<Validate>),
    /// Print what would be applied.
    Render(Box<Render>),
    /// Check what is stored before another controller is replaced.
    Migrate(Box<Migrate>),
    /// Explain which activity rule decides about a Workspace.
    ExplainRules(Box<ExplainRules>),
    /// Prepare a cluster for the Go controller.
    HandBack(HandBack),
    /// Restart the Workspaces of a kind, a few at a time.
    Rollout(Box<Rollout>),
    /// Say whether an installation works.
    Check(Box<Check>),
    /// Take away what an installation leaves behind.
    Cleanup(Cleanup),
    /// Print a text: help, version and the like.
    Print(String),
}
