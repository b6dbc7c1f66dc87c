//! Which part of the work a process does: all of it, or one that it does beside the Go controller.

/// Which part of the work a process does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// All of it.
    #[default]
    Everything,
    /// All Workspaces of the namespaces that this label selector selects. The Go controller has the other namespaces, the kinds
    /// and the webhooks.
    Namespaces(String),
    /// The VirtualServices of Workspaces, of which the Go controller makes everything else.
    OnlyRoutes {
        /// The label selector of the namespaces whose Workspaces it is about; without one, it is those of all.
        selector: Option<String>,
        /// Whether those are taken over that the Go controller made.
        take_over: bool,
    },
}

/// What a process writes, and what it serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // the columns of a table
pub struct Duties {
    /// The VirtualServices of Workspaces.
    pub routes: bool,
    /// Their other children, their pods, statuses and Events; `spec.paused` of those that are idle.
    pub workspaces: bool,
    /// Finalizers, statuses and Events of WorkspaceKinds.
    pub kinds: bool,
    /// The webhooks of both: one server for all namespaces.
    pub admission: bool,
}

impl Mode {
    /// What it writes and serves. What it does not, another controller does.
    pub fn duties(&self) -> Duties {
        match self {
            Self::Everything => Duties { routes: true, workspaces: true, kinds: true, admission: true },
            // Its status counts the Workspaces of all namespaces, and its finalizer is there for all of them.
            Self::Namespaces(_) => Duties { routes: true, workspaces: true, kinds: false, admission: false },
            Self::OnlyRoutes { .. } => Duties { routes: true, workspaces: false, kinds: false, admission: false },
        }
    }

    /// The label selector of the namespaces that it is about; without one, it is about all.
    pub fn selector(&self) -> Option<&str> {
        match self {
            Self::Everything => None,
            Self::Namespaces(selector) => Some(selector),
            Self::OnlyRoutes { selector, .. } => selector.as_deref(),
        }
    }

    /// Its name in the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Namespaces(_) => "everything of selected namespaces",
            Self::OnlyRoutes { take_over: false, .. } => "only routes",
            Self::OnlyRoutes { take_over: true, .. } => "only routes, also those that the Go controller made",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each beside the Go controller: no object may be written by both.
    #[test]
    fn what_each_mode_writes() {
        let columns = |mode: Mode| {
            let Duties { routes, workspaces, kinds, admission } = mode.duties();
            [routes, workspaces, kinds, admission]
        };
        //                                                  routes  workspaces  kinds  admission
        assert_eq!(columns(Mode::Everything), [true, true, true, true]);
        assert_eq!(columns(Mode::Namespaces("team=a".to_owned())), [true, true, false, false]);
        for take_over in [false, true] {
            assert_eq!(columns(Mode::OnlyRoutes { selector: None, take_over }), [true, false, false, false]);
        }
    }
}
