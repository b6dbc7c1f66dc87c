//! The command `check`.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::files::{fail_on, fails_on, kubeconfig, kubeconfig_argument, output};
use crate::check::Check;
use crate::config::{self, Environment, SettingError, settings, values};

pub(super) const NAME: &str = "check";

const EXAMPLES: &str = "\
Asks the API server, by dry runs, to create a good WorkspaceKind and a faulty one, and names the hop that fails where the webhook
does not answer: webhook configuration, Service, DNS, TCP, TLS, caBundle, a policy, a right. It also looks at the CRDs, the leader,
other controllers, Istio's gateways, users' roles, and at kinds and Workspaces that are not Ready. Nothing is written.

Exit codes: 0 no findings that count, 1 findings (warnings count with --fail-on=warning), 2 wrong flags or settings, 3 something
could not be read.

Examples:
  workspaces-controller check
  workspaces-controller check --wait=60s --namespace kubeflow-workspaces
  workspaces-controller check --istio-gateway istio-system/public --fail-on warning
  workspaces-controller check -o json
  helm test workspaces-controller --namespace kubeflow-workspaces";

/// The settings of the controller that it has to know.
fn settings_arguments() -> impl Iterator<Item = Arg> {
    let known = [&settings::USE_ISTIO, &settings::ISTIO_GATEWAY, &settings::PORT_DIALECTS, &settings::LEADER_ELECT];
    settings::arguments().filter(move |argument| known.iter().any(|setting| argument.get_id() == setting.flag))
}

pub(super) fn command() -> Command {
    let text = |flag: &'static str, value: &'static str| Arg::new(flag).long(flag).value_name(value).num_args(1);
    Command::new(NAME)
        .about("Says whether an installation works and, if not, which part does not and what to do about it")
        .args([
            text("wait", "DURATION")
                .default_value("0s")
                .help("Try again for so long while it does not pass, such as 60s"),
            text("namespace", "NAME")
                .short('n')
                .help("Namespace of the installation [default: that of the webhook's Service]"),
            kubeconfig_argument(),
            output(&["text", "json"]),
            fail_on(),
        ])
        .args(settings_arguments())
        .max_term_width(120)
        .after_help(EXAMPLES)
}

/// What is asked for; all errors together.
pub(super) fn invocation(matches: &ArgMatches, environment: &Environment) -> Result<Check, Vec<SettingError>> {
    let mut errors = Vec::new();
    let given = matches.get_one::<String>("wait").map_or("0s", String::as_str);
    let wait = values::patience(given).unwrap_or_else(|rule| {
        errors.push(SettingError { name: "--wait".to_owned(), value: Some(given.to_owned()), rule });
        Duration::ZERO
    });
    let installation = config::installation(matches, environment).map_err(|more| errors.extend(more));
    let (Ok(installation), true) = (installation, errors.is_empty()) else { return Err(errors) };
    Ok(Check {
        kubeconfig: kubeconfig(matches, environment),
        namespace: matches.get_one::<String>("namespace").cloned().or(installation.namespace),
        wait,
        json: matches.get_one::<String>("output").is_some_and(|format| format == "json"),
        fail_on: fails_on(matches),
        use_istio: installation.use_istio,
        gateways: installation.gateways,
        dialects: installation.dialects,
        leader_elect: installation.leader_elect,
        lease: config::Mode::Everything.lease_name(),
    })
}
