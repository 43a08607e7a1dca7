//! The command line's definition. What the commands do is elsewhere; their settings are environment variables, the
//! same for all of them.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::validate;

const AFTER_HELP: &str = "\
Without a command, gpt-load serves.

Settings are environment variables; a .env file in the working directory fills in those that the environment does
not set. Start from .env.example. The keys are read from keys.txt (KEYS_FILE), one a line.
`gpt-load check` shows every setting, where it came from, and every problem.

Examples:
  gpt-load                                        serve with ./.env and ./keys.txt
  PORT=8080 OPENAI_BASE_URL=https://api.deepseek.com KEYS_FILE=/etc/keys.txt gpt-load
  gpt-load check                                  what is set, and what is wrong with it
  gpt-load validate-keys --remove-invalid         test every key, and throw out the bad ones
  gpt-load validate-keys --help                   a command's own options and examples
  curl -i … | gpt-load judge                      what a provider's answer means for its key

Exit status:
  0  all is well, or a clean end
  1  started, and failed later (healthcheck: not healthy; validate-keys: a bad key)
  2  wrong command line, configuration or keys file; nothing was started";

const AFTER_VALIDATE_KEYS: &str = "\
Each key is valid, limited, out of quota, invalid or unknown; an upstream's fault makes none invalid. An interrupted run
is gone on with by the next one.

Examples:
  gpt-load validate-keys                          ask for the free list of models
  gpt-load validate-keys --model gpt-4o-mini      ask for one token, which shows keys without credit too
  gpt-load validate-keys --rate 20 --output /tmp/keys
  gpt-load validate-keys --remove-invalid         rewrite the keys file, with a backup
  gpt-load validate-keys --json | jq .summary

Exit status:
  0  no key is bad
  1  a key is invalid or out of quota
  2  nothing could be found out: wrong command line, configuration or keys file, or an upstream that is down
  130  interrupted";

/// Spreads OpenAI-compatible requests over many API keys
#[derive(Clone, Debug, Parser, PartialEq)]
#[command(name = "gpt-load", version = env!("GPT_LOAD_VERSION"), after_help = AFTER_HELP)]
pub struct CommandLine {
    /// `None`: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be asked for instead of serving.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Print the effective configuration, secrets hidden, and every problem
    Check,
    /// Ask the running server whether it lives: exit status 0 or 1 (for containers without a shell)
    Healthcheck,
    /// Say what a provider's answer means, and which rule says so
    #[command(after_help = JUDGE_HELP)]
    Judge(Judge),
    /// Test every key of the keys file against the upstream
    #[command(after_help = AFTER_VALIDATE_KEYS)]
    ValidateKeys(validate::Options),
    /// Print what completes this command line in a shell: `source <(gpt-load completions bash)`
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual's page: `gpt-load man | man -l -`
    Man,
}

impl CommandLine {
    /// Writes what completes the command line in a shell.
    pub fn complete(shell: Shell, out: &mut impl io::Write) {
        clap_complete::generate(shell, &mut Self::command(), "gpt-load", out);
    }

    /// Writes the manual's page: the program's, and one for each command that has options.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn manual(out: &mut impl io::Write) -> io::Result<()> {
        let mut command = Self::command();
        // Gives each command the name by which it is called.
        command.build();
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
        let mut page = String::from_utf8_lossy(&page).into_owned();
        for name in command.get_subcommands().map(|command| command.get_name().replace('-', "\\-")) {
            // Not a page's name: all of it is here.
            page = page.replace(&format!("gpt\\-load\\-{name}(1)"), &format!("gpt\\-load {name}"));
        }
        out.write_all(page.as_bytes())?;
        let has_options =
            |command: &&clap::Command| command.get_arguments().any(|argument| argument.get_id() != "help");
        for command in command.get_subcommands().filter(has_options) {
            let version = concat!("gpt-load ", env!("GPT_LOAD_VERSION"));
            clap_mangen::Man::new(command.clone()).source(version).render(out)?;
        }
        Ok(())
    }
}

const JUDGE_HELP: &str = "\
The answer is read as `curl -i` prints it: a status line, headers, an empty line, the body. With --status the input
is the body alone. Redact keys before you show it to anybody.

Examples:
  curl -si https://api.example.com/v1/models -H 'Authorization: Bearer …' | gpt-load judge
  echo '{\"error\":{\"code\":\"insufficient_quota\"}}' | gpt-load judge --status 429 --header 'retry-after: 20'

Exit status: 0 judged, 2 no answer to judge.";

/// An answer to judge.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    /// The file with the answer; none or `-`: standard input
    pub file: Option<PathBuf>,
    /// The answer's status; the input is then its body alone
    #[arg(long, value_name = "CODE")]
    pub status: Option<u16>,
    /// A header of the answer, as often as there are any
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "status")]
    pub headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
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
            (
                &["gpt-load", "judge", "--json"],
                Ok(Some(Command::Judge(Judge { file: None, status: None, headers: Vec::new(), json: true }))),
            ),
            (&["gpt-load", "judge", "--header", "a: b"], Err((ErrorKind::MissingRequiredArgument, 2))),
            (&["gpt-load", "validate-keys", "--rate", "0"], Err((ErrorKind::ValueValidation, 2))),
            (&["gpt-load", "validate-keys", "--model", ""], Err((ErrorKind::ValueValidation, 2))),
            (&["gpt-load", "validate-keys", "--model", " "], Err((ErrorKind::ValueValidation, 2))),
            (&["gpt-load", "validate-keys", "--concurrency", "5000"], Err((ErrorKind::ValueValidation, 2))),
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
    fn shells_and_the_manual_know_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            CommandLine::complete(shell, &mut text);
            assert!(String::from_utf8(text).unwrap().contains("validate-keys"), "{shell}");
        }
        let mut manual = Vec::new();
        CommandLine::manual(&mut manual).unwrap();
        let manual = String::from_utf8(manual).unwrap();
        for word in [
            "gpt\\-load healthcheck\n",
            "remove\\-invalid",
            "Exit status",
            "\\fBgpt\\-load validate\\-keys\\fR [",
        ] {
            assert!(manual.contains(word), "{word}");
        }
        assert!(!manual.contains("(1)"), "no page is named that is not there");
    }

    #[test]
    fn validate_keys_is_careful_unless_told_otherwise() {
        let read = CommandLine::try_parse_from(["gpt-load", "validate-keys"]).unwrap().command;
        let Some(Command::ValidateKeys(options)) = read else { panic!("another command") };
        assert_eq!((options.concurrency, options.rate, options.model), (50, None, None));
        assert!(!options.json && !options.remove_invalid && options.output == std::path::Path::new("."));
    }

    #[test]
    fn the_help_says_where_settings_and_keys_come_from() {
        let help = CommandLine::command().render_help().to_string();
        for word in
            [".env", "keys.txt", "Exit status", "Examples:", "check", "healthcheck", "judge", "validate-keys"]
        {
            assert!(help.contains(word), "{word}");
        }
    }
}
