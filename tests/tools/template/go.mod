module workspaces-controller/tests/tools/template

go 1.26
