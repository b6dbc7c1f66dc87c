//! The command `cleanup`.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::files::{kubeconfig, kubeconfig_argument};
use crate::cleanup::Cleanup;
use crate::config::Environment;

pub(super) const NAME: &str = "cleanup";

const EXAMPLES: &str = "\
Prints the list first, then does it in this order: the webhook configuration, without which no request hangs when nothing serves it
any longer; the finalizer of WorkspaceKinds, which nobody else removes; the routes; Lease, Secrets of certificates and Jobs in the
namespace of the installation. Only what this chart or this program made, each by its uid. Workspaces, WorkspaceKinds, their pods and
volumes, the CRDs and the roles of users stay.

It refuses while a controller leads: stop it first, or uninstall the chart.

Exit codes: 0 done, 2 wrong flags, 3 a controller leads or still runs, or something could not be read or written.

Examples:
  workspaces-controller cleanup --dry-run
  workspaces-controller cleanup --yes --namespace kubeflow-workspaces
  workspaces-controller cleanup --yes --keep-routes";

pub(super) fn command() -> Command {
    let switch = |flag: &'static str| Arg::new(flag).long(flag).action(ArgAction::SetTrue);
    Command::new(NAME)
        .about("Takes away what an installation leaves behind, for uninstalling")
        .args([
            switch("dry-run").help("Print what would be done, and change nothing"),
            switch("yes").help("Do it"),
            switch("force").requires("yes").help("Do it although a controller leads"),
            switch("keep-routes").help("Leave the VirtualServices, so that Workspaces can still be opened"),
            Arg::new("namespace")
                .long("namespace")
                .short('n')
                .value_name("NAME")
                .default_value("kubeflow-workspaces")
                .help("Namespace of the installation"),
            kubeconfig_argument(),
        ])
        .group(ArgGroup::new("task").args(["dry-run", "yes"]).required(true))
        .override_usage("workspaces-controller cleanup --dry-run|--yes [OPTIONS]")
        .max_term_width(120)
        .after_help(EXAMPLES)
}

/// What is asked for.
pub(super) fn invocation(matches: &ArgMatches, environment: &Environment) -> Cleanup {
    Cleanup {
        kubeconfig: kubeconfig(matches, environment),
        namespace: matches.get_one::<String>("namespace").cloned().unwrap_or_default(),
        dry_run: matches.get_flag("dry-run"),
        force: matches.get_flag("force"),
        keep_routes: matches.get_flag("keep-routes"),
    }
}
