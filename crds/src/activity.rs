//! How the activity of Workspaces is determined, and which rules act on it.

use crate::workspace_kind::{ActivityRule, ActivityRuleMatch, PodTemplate};

/// The longest first line of a script that Linux reads, `#!` included (`BINPRM_BUF_SIZE` less its final NUL).
pub const SHEBANG_MAX: usize = 255;

/// Why a script cannot be run as a program, if it cannot: `execve(2)` looks for an interpreter in its first line.
pub fn shebang_fault(script: &str) -> Option<&'static str> {
    let first = script.split('\n').next().unwrap_or_default();
    let line = first.split('\r').next().unwrap_or_default();
    let interpreter = line.strip_prefix("#!").map(|rest| rest.trim_matches([' ', '\t']));
    if interpreter.is_none_or(str::is_empty) {
        return Some("script shebang is invalid (e.g., '#!/bin/bash')");
    }
    if line.len() > SHEBANG_MAX {
        return Some("shebang line exceeds the 255 character limit");
    }
    // Blanks at the end of the line are dropped, a carriage return is not.
    first.contains('\r').then_some(
        "shebang line must not end in a carriage return, which the kernel takes for a part of the interpreter's name: \
         write the script with '\\n' line ends",
    )
}

/// The interpreter of a script and its argument, as Linux takes them from the first line: the rest of the line is one argument.
pub fn shebang(script: &str) -> Option<(&str, Option<&str>)> {
    let blanks = [' ', '\t'];
    let line = script.lines().next()?.strip_prefix("#!")?.trim_matches(blanks);
    let (interpreter, argument) = line.split_once(blanks).unwrap_or((line, ""));
    let argument = argument.trim_start_matches(blanks);
    (!interpreter.is_empty()).then_some((interpreter, (!argument.is_empty()).then_some(argument)))
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
            "#!/bin/sh\necho a\r\n",
            &longest,
        ] {
            assert_eq!(shebang_fault(good), None, "{good:?}");
        }
        for bad in
            ["", "#!", "#!\r\n/bin/sh", "#! \t", "#!\n/bin/sh", "echo", " #!/bin/sh", "\n#!/bin/sh", "# !/bin/sh"]
        {
            assert_eq!(shebang_fault(bad), Some("script shebang is invalid (e.g., '#!/bin/bash')"), "{bad:?}");
        }
        for windows in ["#!/bin/sh\r\nx", "#! /usr/bin/env python3 \r\n", "#!/bin/sh -e\r", "#!/bin/sh\recho\r"] {
            let fault = shebang_fault(windows).unwrap_or_default();
            assert!(fault.starts_with("shebang line must not end in a carriage return"), "{windows:?}: {fault}");
        }
        assert_eq!(shebang(" #!/bin/sh"), None);
        assert_eq!(shebang("#! \t\n/bin/sh"), None);
        assert_eq!(shebang("#!/bin/bash"), Some(("/bin/bash", None)));
        assert_eq!(
            shebang("#! \t/usr/bin/env \t -S  python3 -I \nprint()"),
            Some(("/usr/bin/env", Some("-S  python3 -I")))
        );
        assert_eq!(shebang_fault(&(longest + "x\necho")), Some("shebang line exceeds the 255 character limit"));
    }
}
