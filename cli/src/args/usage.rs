//! Wrong usage, said the way this command says everything: one line of cause, one of remedy.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::error::CliError;

/// Turns what clap found wrong into a failure of kind usage.
pub(crate) fn explain(error: &clap::Error) -> CliError {
    explain_line(error, std::env::args_os().skip(1))
}

/// The same for a command line of these words.
pub(crate) fn explain_line(error: &clap::Error, words: impl Iterator<Item = OsString>) -> CliError {
    let command = command_of(words);
    let cause = cause(error);
    let hint = suggestion(error).unwrap_or_else(|| match error.kind() {
        ErrorKind::MissingRequiredArgument if command == "sealway node" => {
            "give --listen ADDR to be reached directly, or --via ADDR to be reached through a relay"
                .to_owned()
        }
        _ => format!("see: {command} --help"),
    });
    CliError::usage(cause).hint(hint)
}

fn cause(error: &clap::Error) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    let argument = argument.as_deref().unwrap_or("an argument");
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => format!("{argument} needs a value"),
        ErrorKind::InvalidValue => {
            let valid = text(error, ContextKind::ValidValue).unwrap_or_default();
            format!("{value:?} is no value of {argument}, which are: {valid}")
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            format!(
                "{value:?} for {argument}: {}",
                why.unwrap_or_else(|| "not valid".to_owned())
            )
        }
        ErrorKind::UnknownArgument => format!("unexpected argument {argument:?}"),
        ErrorKind::InvalidSubcommand => {
            let given = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("there is no command {given:?}")
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".to_owned()
        }
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            Some(prior) if prior != argument => format!("{argument} cannot be used with {prior}"),
            _ => format!("{argument} can be given once only"),
        },
        ErrorKind::TooManyValues => format!("unexpected value {value:?} for {argument}"),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => "help is asked for".to_owned(),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ => first_line(error),
    }
}

fn suggestion(error: &clap::Error) -> Option<String> {
    [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ]
    .into_iter()
    .find_map(|kind| text(error, kind))
    .map(|similar| format!("did you mean {similar}?"))
}

/// The command whose help tells more, `sealway identity create`, from the words that were given.
fn command_of(words: impl Iterator<Item = OsString>) -> String {
    let mut command = Cli::command();
    let mut path = "sealway".to_owned();
    for word in words.take_while(|word| word != "--") {
        let found = word.to_str().and_then(|word| command.find_subcommand(word));
        if let Some(inner) = found.cloned() {
            path = format!("{path} {}", inner.get_name());
            command = inner;
        }
    }
    path
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let plain = match error.get(kind)? {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        ContextValue::StyledStrs(texts) => texts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        ContextValue::Number(number) => number.to_string(),
        _ => return None,
    };
    (!plain.is_empty()).then_some(plain)
}

fn first_line(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let line = rendered.lines().next().unwrap_or("wrong usage");
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_the_command_that_was_meant() {
        let of = |words: &str| command_of(words.split(' ').map(OsString::from));
        assert_eq!(
            of("--json identity create --key rsa"),
            "sealway identity create"
        );
        assert_eq!(of("call -- node"), "sealway call");
        assert_eq!(of("--nothing"), "sealway");
    }
}
