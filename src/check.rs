//! The command `check`: does an installation work, and if not, what has to be done about it?
//!
//! Two dry runs prove that the API server calls this version's webhook: a good WorkspaceKind is accepted, a faulty one refused. Where
//! they do not, [`witness`] says from the error of the API server which hop fails. [`surroundings`] has what users trip over beside it.
//! Nothing is written.

mod arguments;
mod chain;
mod finding;
mod probe;
mod read;
mod roles;
mod surroundings;
mod unread;
mod witness;

use std::collections::BTreeSet;
use std::time::Duration;

use crds::ports::Dialect;
use kube::Client;
use tokio::time::{Instant, sleep};

use crate::client::{causes, in_time};
use crate::offline::CommandOutput;
use crate::stores::{CrdsUnknown, older_crds};
use arguments::INSTALL_CRDS;
use chain::Chain;
use finding::{Finding, output, passes};
use probe::{Answer, ask};

pub use arguments::Check;

/// The pause before another look.
const RETRY: Duration = Duration::from_secs(2);
/// The namespace that the documentation installs into.
const NAMESPACE: &str = "kubeflow-workspaces";

/// Looks until everything passes, for as long as it shall wait, and returns the last look. `report` gets a line if it has to wait.
pub async fn run(client: &Client, check: &Check, report: impl Fn(&str)) -> CommandOutput {
    let until = Instant::now() + check.wait;
    let mut is_reported = false;
    loop {
        let findings = look(client, check).await;
        if passes(&findings, check.fail_on) || Instant::now() + RETRY > until {
            return output(&findings, check.json, check.fail_on);
        }
        if !std::mem::replace(&mut is_reported, true) {
            report(&format!("not yet; trying again for up to {} s", check.wait.as_secs()));
        }
        sleep(RETRY).await;
    }
}

async fn look(client: &Client, check: &Check) -> Vec<Finding> {
    match in_time(client.apiserver_version()).await {
        Ok(version) => {
            let mut findings = vec![Finding::ok("API server", format!("{} answers", version.git_version))];
            findings.extend(installation(client, check).await);
            findings
        }
        Err(error) => {
            let fix = "is the kubeconfig that of the cluster, and is the API server reachable from here?";
            vec![Finding::unknown("API server", causes(&error), fix)]
        }
    }
}

async fn installation(client: &Client, check: &Check) -> Vec<Finding> {
    let mut findings = vec![crds_finding(older_crds(client).await)];
    let is_served = findings[0].state < finding::State::Failed;
    let configurations = read::configurations(client).await;
    let registered = configurations.as_deref().unwrap_or_default();
    let service = read::service(client, registered).await;
    let of_service = chain::kind_webhook(registered).and_then(|webhook| webhook.client_config.service.as_ref());
    let namespace = check.namespace.clone().or_else(|| of_service.map(|service| service.namespace.clone()));
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    // Without the CRDs nothing can be asked.
    if is_served {
        let (good, bad) = answers(client, &check.dialects).await;
        findings.extend(chain::judge(&Chain { configurations, service, good, bad }, &namespace));
    }
    findings.extend(surroundings::judge(&read::surroundings(client, check, &namespace).await));
    findings
}

/// The answers to a good kind and to a faulty one, in the first dialect of the settings that the webhook takes.
async fn answers(client: &Client, dialects: &BTreeSet<Dialect>) -> (Answer, Answer) {
    let (mut dialect, mut good) = (Dialect::PortId, Answer::Accepted);
    for of in dialects {
        (dialect, good) = (*of, ask(client, *of, false).await);
        if !chain::is_refused_by_us(&good) {
            break;
        }
    }
    (good, ask(client, dialect, true).await)
}

fn crds_finding(older: Result<Vec<String>, CrdsUnknown>) -> Finding {
    const STEP: &str = "CRDs";
    match older {
        Ok(older) if older.is_empty() => {
            Finding::ok(STEP, "workspaces.kubeflow.org and workspacekinds.kubeflow.org are those of this version")
        }
        // Each line says what to do.
        Ok(older) => Finding::warning(STEP, older.join("; "), INSTALL_CRDS),
        Err(CrdsUnknown::NotServed) => {
            let message =
                "the API server does not serve workspaces.kubeflow.org and workspacekinds.kubeflow.org, or one of them";
            Finding::failed(STEP, message, INSTALL_CRDS)
        }
        Err(CrdsUnknown::Unreadable(error)) => Finding::unknown(STEP, error, "run it again"),
    }
}
