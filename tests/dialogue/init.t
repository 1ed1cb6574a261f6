Init files: the user's own always, the current folder's where it is safe.

## the home folder's, unless told not to
$ echo 'echo home\\n' >$T/.kvdbginit; HOME=$T kvdbg -batch -ex 'echo command\n' synthetic:tiny; HOME=$T kvdbg -nx -batch -ex 'echo none\n' synthetic:tiny; HOME=$T kvdbg -nh -batch -ex 'echo none\n' synthetic:tiny
home
command
none
none

## the configuration folder's comes first
$ mkdir -p $T/.config/kvdbg; echo 'echo home\\n' >$T/.kvdbginit; echo 'echo config\\n' >$T/.config/kvdbg/kvdbginit; HOME=$T kvdbg -batch synthetic:tiny
config

## the current folder's is not run unasked
$ cd $T && echo 'echo local\\n' >.kvdbginit; kvdbg -batch -ex 'echo command\n' synthetic:tiny
warning: File "$T/.kvdbginit" auto-loading has been declined by your `auto-load safe-path' set to "".
To enable execution of this file add
	add-auto-load-safe-path $T/.kvdbginit
line to your init file.
command

## it is where the folder is safe
$ mkdir $T/home; cd $T && echo 'echo local\\n' >.kvdbginit; kvdbg -batch -iex "add-auto-load-safe-path $T" -ex 'show auto-load safe-path' synthetic:tiny; kvdbg -batch -iex "set auto-load safe-path /nowhere:/" synthetic:tiny
local
List of directories from which it is safe to auto-load files is $T.
local

## a folder that only begins alike is not
$ mkdir $T/ab; cd $T/ab && echo 'echo local\\n' >.kvdbginit; kvdbg -batch -iex "add-auto-load-safe-path $T/a" synthetic:tiny
warning: File "$T/ab/.kvdbginit" auto-loading has been declined by your `auto-load safe-path' set to "$T/a".
To enable execution of this file add
	add-auto-load-safe-path $T/ab/.kvdbginit
line to your init file.

## in the home folder it runs once
$ cd $T && echo 'echo once\\n' >.kvdbginit; HOME=$T kvdbg -batch synthetic:tiny
once

## order
$ cd $T && echo 'echo -ix\\n' >early.kv; echo 'echo -x\\n' >late.kv; kvdbg -batch -x late.kv -ex 'echo -ex\n' -iex 'echo -iex\n' -ix early.kv synthetic:tiny
-iex
-ix
-x
-ex

## a failure in an init file is the batch's
$ echo 'nosuch' >$T/.kvdbginit; HOME=$T kvdbg -batch -ex 'echo not reached\n' synthetic:tiny
$T/.kvdbginit:1: Error in sourced command file:
Undefined command: "nosuch".  Try "help".
[1]

## what stands in many a .gdbinit
$ printf 'set pagination off\nset height 0\nset width unlimited\nset confirm off\n' >$T/.kvdbginit; HOME=$T kvdbg -batch --keep-going -ex 'set height x' -ex 'set pagination 3' synthetic:tiny
"x" is not a number of lines or columns (a whole number).
"on" or "off" expected.
[1]

