#!/bin/sh
# Second part of the guest's first process, in the root that it keeps.
guest=${0%/*}
{
  . "$guest/hosts.sh" && sh "$JOB/command.sh"
  echo $? >"$JOB/exit-code"
} 2>&1 | cat &
# And not until that has ended, because the command may have left something running that holds the pipe.
until [ -s "$JOB/exit-code" ]; do sleep 0.1; done
sleep 0.1
# Whoever started the guest ends it now.
echo '@guest ended'
sleep 5
echo o >/proc/sysrq-trigger
sleep 60
