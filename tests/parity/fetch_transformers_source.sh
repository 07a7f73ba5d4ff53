#!/bin/sh
# Fetches transformers' own tests, which its source distribution has and its wheel lacks, for the installed version.
#
# usage: fetch_transformers_source.sh PYTHON [FOLDER]
#
# PYTHON is the interpreter that has transformers, pip and setuptools; FOLDER is build/transformers-source by default.
# Prints the folder that TRANSFORMERS_SOURCE must name.
set -eu

python=${1:?usage: fetch_transformers_source.sh PYTHON [FOLDER]}
folder=${2:-build/transformers-source}
name=transformers-$("$python" -c 'from importlib.metadata import version; print(version("transformers"))')

if [ ! -d "$folder/$name" ]; then
    mkdir -p "$folder"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation \
        --dest "$folder" "$(echo "$name" | sed 's/-/==/')" >&2
    # Unpacked under another name first, so that an interrupted run leaves nothing that looks complete.
    rm -rf "$folder/unpacking"
    mkdir "$folder/unpacking"
    tar -xzf "$folder/$name.tar.gz" -C "$folder/unpacking" "$name/PKG-INFO" "$name/LICENSE" "$name/tests"
    mv "$folder/unpacking/$name" "$folder/$name"
    rmdir "$folder/unpacking"
fi
echo "$folder/$name"
