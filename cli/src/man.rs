//! `carillon man DIR`: the manual pages, made from the grammar of the command line, for packages.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use clap::builder::Resettable;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Arguments;
use crate::exit::Exit;

/// Writes carillon(1) and a page for each command below it: `carillon-node-reap.1`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut root = Arguments::command().disable_help_subcommand(true);
    // Subcommands take over what holds for all, and their names with those above them.
    root.build();
    pages(folder, &root, "carillon")?;
    Ok(Exit::Passed)
}

fn pages(folder: &Path, command: &Command, name: &str) -> anyhow::Result<()> {
    page(folder, command.clone(), name)?;
    for below in command.get_subcommands() {
        if !below.is_hide_set() && below.get_name() != "help" {
            pages(folder, below, &format!("{name}-{}", below.get_name()))?;
        }
    }
    Ok(())
}

fn page(folder: &Path, command: Command, name: &str) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.1"));
    let cannot = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(&path).with_context(cannot)?);
    let is_root = name == "carillon";
    // The main page has more to say about exit codes.
    let command = if is_root {
        command.after_help(Resettable::Reset)
    } else {
        command
    };
    Man::new(command)
        .manual("Carillon")
        .render(&mut out)
        .and_then(|()| {
            let further = if is_root { FURTHER } else { "" };
            out.write_all(further.as_bytes())
        })
        .and_then(|()| out.flush())
        .with_context(cannot)
}

/// What stands in carillon(1) alone, as roff.
const FURTHER: &str = r#".SH "EXIT STATUS"
.TP
0
passed
.TP
1
the run failed or could not start
.TP
2
bad arguments, test file or configuration
.TP
98
the generator was saturated, so the result is not valid
.TP
99
a threshold was crossed
.TP
130
interrupted
.SH ENVIRONMENT
Every key of a configuration file is also a variable: CARILLON_, its section, _ and its name in capitals, such as
CARILLON_HTTP_BIND=127.0.0.1:8080. Flags win over the environment, the environment over the file.
.SH FILES
.TP
/etc/carillon/coordinator.toml, /etc/carillon/node.toml
every setting of the two services, at its default
.TP
/var/lib/carillon
what the services keep
.SH "SEE ALSO"
systemctl(1), the units carillon\-coordinator.service and carillon\-node.service, /usr/share/doc/carillon
"#;
