//! How the activity of Workspaces is determined, and which rules act on it.

use crate::workspace_kind::{ActivityRule, ActivityRuleMatch, PodTemplate};

/// The longest first line of a script that Linux reads, `#!` included (`BINPRM_BUF_SIZE` less its final NUL).
pub const SHEBANG_MAX: usize = 255;

/// Why a script cannot be run as a program, if it cannot: `execve(2)` looks for an interpreter in its first line.
pub fn shebang_fault(script: &str) -> Option<&'static str> {
    let line = script.split(['\r', '\n']).next().unwrap_or_default();
    let interpreter = line.strip_prefix("#!").map(|rest| rest.trim_matches([' ', '\t']));
    if interpreter.is_none_or(str::is_empty) {
        return Some("script shebang is invalid (e.g., '#!/bin/bash')");
    }
    (line.len() > SHEBANG_MAX).then_some("shebang line exceeds the 255 character limit")
}

impl ActivityRule {
    /// Whether the rule applies to every Workspace.
    pub fn is_catch_all(&self) -> bool {
        let everything = |rule: &ActivityRuleMatch| rule.match_namespace.is_none() && rule.match_pod_config.is_none();
        self.match_.as_ref().is_none_or(everything)
    }

    /// Whether the rule decides if a Workspace is paused, one way or the other.
    pub fn decides_pause(&self) -> bool {
        self.effect.pause_workspace.is_some()
    }

    /// Whether the rule pauses Workspaces.
    pub fn pauses(&self) -> bool {
        self.effect.pause_workspace == Some(true)
    }
}

impl PodTemplate {
    /// Whether the kind configures how activity is probed: with `activityProbe`, or as early kinds with `culling`.
    pub fn has_activity_probe(&self) -> bool {
        self.activity_probe.is_some() || self.culling.as_ref().is_some_and(|culling| culling.enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_starts_with_its_interpreter() {
        let longest = format!("#!/{}", "x".repeat(SHEBANG_MAX - 3));
        for good in [
            "#!/bin/bash",
            "#! /usr/bin/env python3\nprint()",
            "#!\t/bin/sh -e",
            "#!/bin/sh \n",
            "#!/bin/sh\r\nx",
            &longest,
        ] {
            assert_eq!(shebang_fault(good), None, "{good:?}");
        }
        for bad in ["", "#!", "#! \t", "#!\n/bin/sh", "echo", " #!/bin/sh", "\n#!/bin/sh", "# !/bin/sh"] {
            assert_eq!(shebang_fault(bad), Some("script shebang is invalid (e.g., '#!/bin/bash')"), "{bad:?}");
        }
        assert_eq!(shebang_fault(&(longest + "x\necho")), Some("shebang line exceeds the 255 character limit"));
    }
}
