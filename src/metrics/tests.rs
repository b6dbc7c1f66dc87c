#![allow(clippy::unwrap_used, clippy::panic)]
use std::time::UNIX_EPOCH;

use webhook::Observer;

use super::*;

const PATHS: [&str; 2] = ["/validate-kubeflow-org-v1beta1-workspace", "/validate-kubeflow-org-v1beta1-workspacekind"];

/// Every series a full-grown process can have.
fn everything() -> Metrics {
    let metrics = Metrics::new();
    for controller in [Controller::Workspace, Controller::WorkspaceKind, Controller::RouteCleanup] {
        metrics.announce_controller(controller, 10);
        for result in
            [ReconcileResult::Success, ReconcileResult::Error, ReconcileResult::Requeue, ReconcileResult::RequeueAfter]
        {
            metrics.reconcile_started(controller);
            metrics.reconcile_finished(controller, result, Duration::from_millis(3));
        }
        metrics.reconcile_panicked(controller);
    }
    let resources = ["serviceaccounts", "rolebindings", "statefulsets", "services", "virtualservices"];
    let others =
        ["statefulsets/scale", "pods", "events", "workspaces/status", "workspacekinds/status", "workspacekinds"];
    for resource in resources.into_iter().chain(others) {
        for cause in ["changed", "dependent_changed", "bulk", "timer", "retry"] {
            metrics.written(resource, cause);
        }
    }
    for resource in resources {
        metrics.write_contested(resource);
    }
    metrics.count_workspaces(|| WorkspaceCounts {
        states: ["Running", "Terminating", "Paused", "Pending", "Error", "Unknown"].map(|state| (state, 200)).into(),
        options: ["small", "large", "odd \"\\\n"]
            .map(|id| OptionUsers { kind: "lab".to_owned(), list: "podConfig", option: id.to_owned(), workspaces: 3 })
            .into(),
    });
    for path in PATHS {
        metrics.announce_webhook(path);
        for code in [200, 400, 408, 413, 415, 429, 499, 503] {
            metrics.started(path);
            metrics.finished(path, code, Duration::from_micros(700));
        }
    }
    metrics
}

fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn names_are_those_of_controller_runtime() {
    let text = everything().encode().unwrap();
    for line in [
        "controller_runtime_reconcile_total{controller=\"workspace\",result=\"success\"} 1",
        "controller_runtime_reconcile_total{controller=\"workspacekind\",result=\"requeue_after\"} 1",
        "controller_runtime_reconcile_errors_total{controller=\"workspace\"} 1",
        "controller_runtime_reconcile_panics_total{controller=\"workspace\"} 1",
        "controller_runtime_reconcile_time_seconds_count{controller=\"workspace\"} 4",
        "controller_runtime_max_concurrent_reconciles{controller=\"workspace\"} 10",
        "controller_runtime_active_workers{controller=\"workspace\"} 0",
        "workqueue_depth{name=\"workspace\",controller=\"workspace\"} 0",
        "workqueue_adds_total{name=\"workspace\",controller=\"workspace\"} 0",
        "workqueue_queue_duration_seconds_count{name=\"workspace\",controller=\"workspace\"} 0",
        "workqueue_longest_waiting_seconds{name=\"workspace\",controller=\"workspace\"} 0.0",
        "workspaces_workspaces{state=\"Running\"} 200",
        r#"workspaces_option_users{workspacekind="lab",list="podConfig",option="odd \"\\\n"} 3"#,
        "workspaces_writes_total{resource=\"pods\",cause=\"retry\"} 1",
        "workspaces_contested_writes_total{resource=\"services\"} 1",
        "workqueue_retries_total{name=\"workspace\",controller=\"workspace\"} 0",
        "controller_runtime_webhook_requests_total{webhook=\"/validate-kubeflow-org-v1beta1-workspace\",code=\"413\"} 1",
        "controller_runtime_webhook_requests_in_flight{webhook=\"/validate-kubeflow-org-v1beta1-workspace\"} 0",
        "controller_runtime_webhook_latency_seconds_count{webhook=\"/validate-kubeflow-org-v1beta1-workspace\"} 8",
        "certwatcher_read_certificate_total 0",
        "workspaces_certificate_expiry_timestamp_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("workspaces_build_info{version=\""), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn series_are_few_and_unique() {
    let text = everything().encode().unwrap();
    let series = series(&text);
    println!("S4 pass {} 300: series of a process that has counted everything", series.len());
    assert!(series.len() <= 300, "{} series\n{text}", series.len());
    let mut names: Vec<_> = series.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a series appears twice:\n{text}");
}

/// The gauge grows although nobody sets it: so a queue that stands still shows.
#[tokio::test(start_paused = true)]
async fn the_age_of_the_queue_is_that_of_the_scrape() {
    let metrics = Metrics::new();
    metrics.announce_controller(Controller::Workspace, 1);
    let age = |metrics: &Metrics| {
        let text = metrics.encode().unwrap();
        let of = "workqueue_longest_waiting_seconds{name=\"workspace\",controller=\"workspace\"} ";
        text.lines().find_map(|line| line.strip_prefix(of)).unwrap().to_owned()
    };
    let now = Instant::now();
    metrics.set_queue_oldest(Controller::Workspace, Some(now + Duration::from_secs(5)));
    assert_eq!(age(&metrics), "0.0");
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(age(&metrics), "7.0");
    metrics.set_queue_oldest(Controller::Workspace, None);
    assert_eq!(age(&metrics), "0.0");
}

#[test]
fn what_is_open_is_counted_up_and_down() {
    let metrics = Metrics::new();
    metrics.started(PATHS[0]);
    let guards = (metrics.connection(), metrics.connection());
    let text = metrics.encode().unwrap();
    assert!(text.contains("requests_in_flight{webhook=\"/validate-kubeflow-org-v1beta1-workspace\"} 1\n"), "{text}");
    metrics.finished(PATHS[0], 200, Duration::ZERO);
    assert!(text.contains("workspaces_server_connections 2\n"), "{text}");
    drop(guards);
    let text = metrics.encode().unwrap();
    assert!(text.contains("requests_in_flight{webhook=\"/validate-kubeflow-org-v1beta1-workspace\"} 0\n"), "{text}");
    assert!(text.contains("workspaces_server_connections 0\n"), "{text}");
}

#[test]
fn a_bad_reading_of_the_certificate_shows() {
    let metrics = Metrics::new();
    metrics.certificate_read(true);
    metrics.certificate_expires(UNIX_EPOCH + Duration::from_secs(1_800_000_001));
    metrics.certificate_read(false);
    let text = metrics.encode().unwrap();
    assert!(text.contains("certwatcher_read_certificate_total 2\n"), "{text}");
    assert!(text.contains("certwatcher_read_certificate_errors_total 1\n"), "{text}");
    assert!(text.contains("workspaces_certificate_last_read_successful 0\n"), "{text}");
    assert!(text.contains("workspaces_certificate_expiry_timestamp_seconds 1800000001\n"), "{text}");
}
