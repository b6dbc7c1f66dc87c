//! The background tasks of the process. Each runs until shutdown; one that ends earlier stops the process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;

/// The name of a task, in messages.
pub type TaskName = Cow<'static, str>;

/// Named tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<Result<(), String>>,
    names: HashMap<Id, TaskName>,
}

/// A task that ended before shutdown.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TaskError {
    /// It returned.
    #[error("background task {0:?} returned unexpectedly")]
    Returned(TaskName),
    /// It panicked.
    #[error("background task {0:?} panicked")]
    Panicked(TaskName),
    /// It found that it must not go on, and why.
    #[error("{0}")]
    Refused(String),
}

impl Tasks {
    /// Starts a task.
    pub fn spawn(&mut self, name: impl Into<TaskName>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(name, task, &Handle::current());
    }

    /// Starts a task on another runtime.
    pub fn spawn_on(
        &mut self,
        name: impl Into<TaskName>,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
    ) {
        let task = async {
            task.await;
            Ok(())
        };
        let id = self.running.spawn_on(task, runtime).id();
        self.names.insert(id, name.into());
    }

    /// Starts a task that may find that it must not go on.
    pub fn spawn_refusing<E: Display>(
        &mut self,
        name: impl Into<TaskName>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let id = self.running.spawn(async { task.await.map_err(|refusal| refusal.to_string()) }).id();
        self.names.insert(id, name.into());
    }

    /// The first task that ends. Never returns while all are running.
    pub async fn ended(&mut self) -> TaskError {
        match self.running.join_next_with_id().await {
            Some(Ok((id, Ok(())))) => TaskError::Returned(self.forget(id)),
            Some(Ok((id, Err(refusal)))) => {
                self.forget(id);
                TaskError::Refused(refusal)
            }
            Some(Err(error)) => self.panicked(&error),
            None => std::future::pending().await,
        }
    }

    /// Waits until all tasks have returned. Those still running after `limit` are aborted, and their names are
    /// returned.
    pub async fn finish(&mut self, limit: Duration) -> Vec<TaskName> {
        let all = async {
            while let Some(end) = self.running.join_next_with_id().await {
                match end {
                    Ok((id, _)) => drop(self.names.remove(&id)),
                    Err(error) => drop(self.names.remove(&error.id())),
                }
            }
        };
        let _ = timeout(limit, all).await;
        self.running.abort_all();
        let mut left: Vec<TaskName> = self.names.drain().map(|(_, name)| name).collect();
        left.sort_unstable();
        left
    }

    fn forget(&mut self, id: Id) -> TaskName {
        self.names.remove(&id).unwrap_or(Cow::Borrowed("unknown"))
    }

    /// Without the panic message, which may quote users' objects. Its location is in the log already.
    fn panicked(&mut self, error: &JoinError) -> TaskError {
        TaskError::Panicked(self.forget(error.id()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn an_unexpected_return_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("hasty", ready(()));
        assert_eq!(tasks.ended().await.to_string(), "background task \"hasty\" returned unexpectedly");
    }

    #[tokio::test]
    async fn a_refusal_is_returned_as_it_is() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn_refusing("wise", ready(Err("somebody else does that")));
        assert_eq!(tasks.ended().await, TaskError::Refused("somebody else does that".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_is_named_without_its_message() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("fragile", async { panic!("out of {}", "luck") });
        assert_eq!(tasks.ended().await.to_string(), "background task \"fragile\" panicked");
    }

    #[tokio::test]
    async fn tasks_that_do_not_finish_in_time_are_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", pending());
        tasks.spawn("hasty", ready(()));
        tasks.spawn("obstinate", pending());
        assert_eq!(tasks.finish(Duration::from_millis(50)).await, ["obstinate", "steady"]);
        assert!(tasks.finish(Duration::from_millis(50)).await.is_empty());
    }
}
