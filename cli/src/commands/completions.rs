//! `sealway completions SHELL`: the script on stdout.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::error::Result;
use crate::output::Output;

/// Prints the completion script for a shell.
pub(crate) fn run(args: &CompletionsArgs, output: Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealway", &mut script);
    if output.json() {
        let text = String::from_utf8_lossy(&script);
        let value = serde_json::json!({"shell": args.shell.to_string(), "script": text});
        return output.result("", &value);
    }
    output.bytes(&script)
}
