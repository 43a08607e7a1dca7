//! The command line's definition. What the commands do is elsewhere; their settings are environment variables, the
//! same for all of them.

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Without a command, gpt-load serves.

Settings are environment variables; a .env file in the working directory fills in those that the environment does
not set. Start from .env.example. The keys are read from keys.txt (KEYS_FILE), one a line.
`gpt-load check` shows every setting, where it came from, and every problem.

Exit status:
  0  all is well, or a clean end
  1  started, and failed later (healthcheck: not healthy; validate-keys: a bad key)
  2  wrong command line, configuration or keys file; nothing was started";

/// Spreads OpenAI-compatible requests over many API keys
#[derive(Clone, Copy, Debug, Parser, PartialEq, Eq)]
#[command(name = "gpt-load", version, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// `None`: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be asked for instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the effective configuration, secrets hidden, and every problem
    Check,
    /// Ask the running server whether it lives: exit status 0 or 1 (for containers without a shell)
    Healthcheck,
    /// Test every key of the keys file against the upstream
    ValidateKeys,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn commands_are_read_and_anything_else_is_refused() {
        for (arguments, want) in [
            (&["gpt-load"][..], Ok(None)),
            (&["gpt-load", "check"], Ok(Some(Command::Check))),
            (&["gpt-load", "healthcheck"], Ok(Some(Command::Healthcheck))),
            (&["gpt-load", "validate-keys"], Ok(Some(Command::ValidateKeys))),
            (&["gpt-load", "--version"], Err((ErrorKind::DisplayVersion, 0))),
            (&["gpt-load", "--help"], Err((ErrorKind::DisplayHelp, 0))),
            (&["gpt-load", "serve"], Err((ErrorKind::InvalidSubcommand, 2))),
            (&["gpt-load", "--port", "80"], Err((ErrorKind::UnknownArgument, 2))),
            (&["gpt-load", "check", "check"], Err((ErrorKind::UnknownArgument, 2))),
        ] {
            let read = CommandLine::try_parse_from(arguments).map(|line| line.command);
            assert_eq!(read.map_err(|error| (error.kind(), error.exit_code())), want, "{arguments:?}");
        }
    }

    #[test]
    fn the_help_says_where_settings_and_keys_come_from() {
        let help = CommandLine::command().render_help().to_string();
        for word in [".env", "keys.txt", "Exit status", "check", "healthcheck", "validate-keys"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
