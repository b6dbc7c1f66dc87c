//! The background tasks of the process. None of them may end before the process does.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;

/// Tasks with names.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task that ended although nobody asked it to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EarlyEnd {
    /// It returned.
    #[error("background task {0:?} ended by itself")]
    Returned(&'static str),
    /// It panicked.
    #[error("background task {0:?} panicked")]
    Panicked(&'static str),
}

impl Tasks {
    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(name, task, &Handle::current());
    }

    /// Starts a task on another runtime.
    pub fn spawn_on(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        let id = self.running.spawn_on(task, runtime).id();
        self.names.insert(id, name);
    }

    /// The first task that ends. Waits for ever while there is none.
    pub async fn ended(&mut self) -> EarlyEnd {
        match self.running.join_next_with_id().await {
            Some(Ok((id, ()))) => EarlyEnd::Returned(self.forget(id)),
            Some(Err(error)) => self.panicked(&error),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, as they should once they were asked to; those still running after `limit` are cut
    /// off, and named.
    pub async fn finish(&mut self, limit: Duration) -> Vec<&'static str> {
        let all = async {
            while let Some(end) = self.running.join_next_with_id().await {
                match end {
                    Ok((id, ())) => drop(self.names.remove(&id)),
                    Err(error) => drop(self.names.remove(&error.id())),
                }
            }
        };
        let _ = timeout(limit, all).await;
        self.running.abort_all();
        let mut left: Vec<&'static str> = self.names.drain().map(|(_, name)| name).collect();
        left.sort_unstable();
        left
    }

    fn forget(&mut self, id: Id) -> &'static str {
        self.names.remove(&id).unwrap_or("unknown")
    }

    /// Without the text of the panic, which may quote what users wrote. Its place is in the log already.
    fn panicked(&mut self, error: &JoinError) -> EarlyEnd {
        EarlyEnd::Panicked(self.forget(error.id()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn an_early_end_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("hasty", ready(()));
        assert_eq!(tasks.ended().await.to_string(), "background task \"hasty\" ended by itself");
    }

    #[tokio::test]
    async fn a_panic_is_named_without_its_text() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("fragile", async { panic!("out of {}", "luck") });
        assert_eq!(tasks.ended().await.to_string(), "background task \"fragile\" panicked");
    }

    #[tokio::test]
    async fn those_that_do_not_end_in_time_are_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("hasty", ready(()));
        tasks.spawn("obstinate", pending());
        assert_eq!(tasks.finish(Duration::from_millis(50)).await, ["obstinate", "steady"]);
        assert!(tasks.finish(Duration::from_millis(50)).await.is_empty());
    }
}
