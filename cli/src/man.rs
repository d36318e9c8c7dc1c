//! `carillon man DIR`: the manual pages, made from the grammar of the command line, for packages.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Arguments;
use crate::exit::Exit;

/// Writes carillon(1) and a page for each command, `carillon-NAME.1`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut root = Arguments::command();
    // Subcommands take over what holds for all, such as the version.
    root.build();
    let main = root.clone().after_help("");
    page(folder, main, FURTHER)?;
    let commands = root.get_subcommands();
    for command in commands.filter(|command| shown(command)) {
        let name = format!("carillon-{}", command.get_name());
        let name: &'static str = name.leak();
        page(folder, command.clone().name(name), "")?;
    }
    Ok(Exit::Passed)
}

fn shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn page(folder: &Path, command: Command, further: &str) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.1", command.get_name()));
    let cannot = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(&path).with_context(cannot)?);
    let date = "";
    let man = Man::new(command).date(date).manual("Carillon").section("1");
    man.render(&mut out)
        .and_then(|()| out.write_all(further.as_bytes()))
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
